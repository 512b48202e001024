"""The making half: a folder of images and masks becomes a bundle (needs PyTorch)."""
