// The picture and its mask on a canvas that is zoomed and moved by mouse, keys, fingers and buttons.

const MOST = 40; // times the size at which all is seen

export class Stage {
  #canvas;
  #context;
  #picture = null;
  #overlay = null;
  #size = { width: 1, height: 1 };
  #zoom = 1; // 1: all is seen
  #centre = { x: 0.5, y: 0.5 }; // the share of the picture that lies in the middle
  #fingers = new Map();
  #waiting = false;
  opacity = 0.6;

  constructor(box, canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(canvas);
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), this.#place(event));
    }, { passive: false });
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      this.#fingers.set(event.pointerId, this.#place(event));
    });
    box.addEventListener("pointermove", (event) => this.#moved(event));
    for (const end of ["pointerup", "pointercancel"]) {
      box.addEventListener(end, (event) => this.#fingers.delete(event.pointerId));
    }
    box.addEventListener("dblclick", () => this.fit());
  }

  /** How far it is zoomed in; 1 shows all. */
  get zoomed() { return this.#zoom; }

  /** Show a picture (or null) of a size, all of it where `anew`; the one before is gone. */
  show(picture, size, anew) {
    this.#picture?.close();
    this.#picture = picture;
    this.#size = size;
    if (anew) this.fit();
    this.draw();
  }

  /** Draw a mask over the picture, or null. */
  cover(overlay) {
    this.#overlay = overlay;
    this.draw();
  }

  fit() {
    this.#zoom = 1;
    this.#centre = { x: 0.5, y: 0.5 };
    this.draw();
  }

  /** Zoom by a factor about a place on the canvas, by default its middle. */
  zoom(factor, place = null) {
    const { width, height } = this.#canvas.getBoundingClientRect();
    const about = place ?? { x: width / 2, y: height / 2 };
    const before = this.#scale();
    this.#zoom = Math.min(MOST, Math.max(1, this.#zoom * factor));
    const shift = 1 / before - 1 / this.#scale();
    this.#centre.x += ((about.x - width / 2) * shift) / this.#size.width;
    this.#centre.y += ((about.y - height / 2) * shift) / this.#size.height;
    this.draw();
  }

  /** Move the picture by pixels of the page. */
  move(x, y) {
    this.#centre.x -= x / this.#scale() / this.#size.width;
    this.#centre.y -= y / this.#scale() / this.#size.height;
    this.draw();
  }

  draw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#drawNow();
    });
  }

  /** Return a canvas with the whole picture and what covers it, in the size of the picture. */
  copy() {
    const canvas = new OffscreenCanvas(this.#size.width, this.#size.height);
    this.#layers(canvas.getContext("2d"));
    return canvas;
  }

  #drawNow() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    const density = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * density), Math.round(height * density)];
    if (this.#canvas.width !== across) this.#canvas.width = across;
    if (this.#canvas.height !== down) this.#canvas.height = down;
    this.#context.setTransform(1, 0, 0, 1, 0, 0);
    this.#context.clearRect(0, 0, across, down);
    if (this.#picture === null && this.#overlay === null) return;
    const scale = this.#scale();
    for (const [side, length, visible] of [["x", this.#size.width, width], ["y", this.#size.height, height]]) {
      const rim = Math.min(0.5, visible / scale / length / 2);
      this.#centre[side] = Math.min(1 - rim, Math.max(rim, this.#centre[side]));
    }
    const left = width / 2 - this.#centre.x * this.#size.width * scale;
    const top = height / 2 - this.#centre.y * this.#size.height * scale;
    const whole = density * scale;
    this.#context.setTransform(whole, 0, 0, whole, density * left, density * top);
    this.#context.imageSmoothingEnabled = whole < 3; // close up, pixels are pixels
    this.#layers(this.#context);
  }

  #layers(context) {
    if (this.#picture) context.drawImage(this.#picture, 0, 0, this.#size.width, this.#size.height);
    if (this.#overlay) {
      context.globalAlpha = this.opacity;
      context.drawImage(this.#overlay, 0, 0);
      context.globalAlpha = 1;
    }
  }

  #scale() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    return this.#zoom * Math.min(width / this.#size.width, height / this.#size.height);
  }

  #place(event) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  #moved(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const place = this.#place(event);
    const others = [...this.#fingers].filter(([finger]) => finger !== event.pointerId).map(([, other]) => other);
    this.#fingers.set(event.pointerId, place);
    if (others.length) {
      const [other] = others;
      const apart = (one) => Math.max(10, Math.hypot(one.x - other.x, one.y - other.y));
      this.zoom(apart(place) / apart(before), { x: (place.x + other.x) / 2, y: (place.y + other.y) / 2 });
    }
    const share = 1 / (1 + others.length);
    this.move((place.x - before.x) * share, (place.y - before.y) * share);
  }
}
