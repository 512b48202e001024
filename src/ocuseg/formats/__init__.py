"""Other people's annotations and medical files, in and out."""
