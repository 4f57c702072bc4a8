// The picture with its hole: brush, eraser, rectangle, undo, zoom, keyboard and touch.

const PAINT = "#e0218a";
const FEW_PIXELS = 256; // of the reduced hole in which faces are looked for

export class Editor {
  // changed() is called when the hole has changed.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.tool = "brush";
    this.size = 30; // diameter, in 300ths of the picture's shorter side
    this.outlines = [];
    this.picture = null;
    this.mask = document.createElement("canvas");
    this.done = [];
    this.undone = [];
    this.pointers = new Map();
    this.peeking = false;
    this.cursor = null; // of the keyboard, in pixels of the picture
    new ResizeObserver(() => this.fitCanvas()).observe(canvas);
    const on = (name, act) => canvas.addEventListener(name, act.bind(this));
    on("pointerdown", this.down);
    on("pointermove", this.move);
    on("pointerup", this.up);
    on("pointercancel", this.up);
    on("wheel", this.wheel);
    on("keydown", this.key);
    on("blur", () => { this.cursor = null; this.draw(); });
    on("contextmenu", (event) => event.preventDefault());
  }

  open(picture, width, height) {
    this.picture = picture;
    this.width = width;
    this.height = height;
    this.mask.width = width;
    this.mask.height = height;
    this.outlines = [];
    this.done = [];
    this.undone = [];
    this.cursor = null;
    this.fit();
    this.changed();
  }

  fitCanvas() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.fit();
  }

  fit() {
    if (!this.picture) return;
    const scale = Math.min(this.canvas.width / this.width, this.canvas.height / this.height);
    this.view = {
      scale,
      x: (this.canvas.width - scale * this.width) / 2,
      y: (this.canvas.height - scale * this.height) / 2,
    };
    this.least = scale / 2;
    this.draw();
  }

  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.picture) return;
    const scale = Math.min(40, Math.max(this.least, this.view.scale * factor));
    const real = scale / this.view.scale;
    this.view.x = x - (x - this.view.x) * real;
    this.view.y = y - (y - this.view.y) * real;
    this.view.scale = scale;
    this.draw();
  }

  // What has been done to the hole, each of which can be undone.

  add(step) {
    this.done.push(step);
    this.undone = [];
    this.paint(step);
    this.draw();
    this.changed();
  }

  undo() { this.again(this.done, this.undone); }

  redo() { this.again(this.undone, this.done); }

  again(from, to) {
    if (!from.length) return;
    to.push(from.pop());
    this.mask.getContext("2d").clearRect(0, 0, this.width, this.height);
    for (const step of this.done) this.paint(step);
    this.draw();
    this.changed();
  }

  clear() { if (this.picture && this.marked()) this.add({ kind: "clear" }); }

  setMask(bitmap) { this.add({ kind: "mask", bitmap }); }

  paint(step) {
    const context = this.mask.getContext("2d");
    context.save();
    context.fillStyle = context.strokeStyle = PAINT;
    if (step.kind === "clear") {
      context.clearRect(0, 0, this.width, this.height);
    } else if (step.kind === "mask") {
      context.clearRect(0, 0, this.width, this.height);
      context.drawImage(step.bitmap, 0, 0);
    } else if (step.kind === "rectangle") {
      const [[x0, y0], [x1, y1]] = step.points;
      context.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    } else {
      if (step.kind === "eraser") context.globalCompositeOperation = "destination-out";
      // Soft edges of a stroke go too when it is erased along the same way.
      context.lineWidth = step.width + (step.kind === "eraser" ? 2 : 0);
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      const [[x, y], ...others] = step.points;
      context.moveTo(x, y);
      if (!others.length) context.lineTo(x + 0.01, y);
      for (const [nextX, nextY] of others) context.lineTo(nextX, nextY);
      context.stroke();
    }
    context.restore();
  }

  // The hole in one colour, over what is drawn beneath it, as a file.
  hole(colour, beneath) {
    const found = document.createElement("canvas");
    found.width = this.width;
    found.height = this.height;
    const context = found.getContext("2d");
    context.drawImage(this.mask, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = colour;
    context.fillRect(0, 0, this.width, this.height);
    context.globalCompositeOperation = "destination-over";
    beneath(context);
    return new Promise((resolve) => found.toBlob(resolve, "image/png"));
  }

  // The hole as a picture, white on black.
  stencil() {
    return this.hole("#fff", (context) => {
      context.fillStyle = "#000";
      context.fillRect(0, 0, this.width, this.height);
    });
  }

  // The photograph with its hole.
  damaged() {
    return this.hole("#808080", (context) => context.drawImage(this.picture, 0, 0, this.width, this.height));
  }

  reduced() {
    const scale = Math.min(1, FEW_PIXELS / Math.max(this.width, this.height));
    const found = document.createElement("canvas");
    found.width = Math.max(1, Math.round(scale * this.width));
    found.height = Math.max(1, Math.round(scale * this.height));
    const context = found.getContext("2d");
    context.drawImage(this.mask, 0, 0, found.width, found.height);
    const { data, width } = context.getImageData(0, 0, found.width, found.height);
    const places = [];
    for (let i = 3; i < data.length; i += 4) {
      if (data[i] > 8) {
        const place = (i - 3) / 4;
        places.push([((place % width) + 0.5) / scale, (Math.floor(place / width) + 0.5) / scale]);
      }
    }
    return places;
  }

  marked() { return this.picture !== null && this.reduced().length > 0; }

  // Whether a part of the hole lies in the outline of a face.
  meetsFace() {
    return this.reduced().some((place) => this.outlines.some((o) => inside(place, o)));
  }

  // Pointers: one paints, two zoom and move.

  place(event) {
    const ratio = this.canvas.width / this.canvas.clientWidth;
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  inPicture([x, y]) {
    return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale];
  }

  get diameter() { return Math.max(1, (this.size / 300) * Math.min(this.width, this.height)); }

  down(event) {
    if (!this.picture) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    this.moving = event.button === 1 || event.shiftKey;
    if (this.pointers.size > 1) this.stroke = null; // it was the first of two fingers
    else if (!this.moving && event.button === 0) {
      const start = this.inPicture(this.place(event));
      this.stroke = { kind: this.tool, width: this.diameter, points: [start] };
      if (this.tool === "rectangle") this.stroke.points.push(start);
      this.draw();
    }
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
  }

  move(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const before = [...this.pointers.values()];
    const now = this.place(event), then = this.pointers.get(event.pointerId);
    this.pointers.set(event.pointerId, now);
    const after = [...this.pointers.values()];
    if (after.length > 1) {
      const [a, b] = [middle(before), middle(after)];
      this.shift(b[0] - a[0], b[1] - a[1]);
      this.zoom(apart(after) / Math.max(1, apart(before)), ...b);
    } else if (this.moving) {
      this.shift(now[0] - then[0], now[1] - then[1]);
    } else if (this.stroke) {
      const points = this.stroke.points, next = this.inPicture(now);
      if (this.stroke.kind === "rectangle") points[1] = next;
      else points.push(next);
    }
    this.draw();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    const stroke = this.stroke;
    if (this.pointers.size === 0) {
      this.moving = false;
      this.stroke = null;
    }
    if (stroke && event.type === "pointerup") this.add(stroke);
    else this.draw();
  }

  shift(x, y) {
    this.view.x += x;
    this.view.y += y;
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400), ...this.place(event));
  }

  // The keyboard moves a cursor of its own.
  key(event) {
    if (!this.picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = Math.max(1, this.diameter / 4);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    this.cursor ??= [this.width / 2, this.height / 2];
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      this.cursor = [
        Math.min(this.width, Math.max(0, this.cursor[0] + x)),
        Math.min(this.height, Math.max(0, this.cursor[1] + y)),
      ];
      if (event.shiftKey) this.stamp();
    } else if (event.key === " ") this.stamp();
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
    this.draw();
  }

  stamp() {
    const kind = this.tool === "eraser" ? "eraser" : "brush";
    this.add({ kind, width: this.diameter, points: [[...this.cursor]] });
  }

  peek(on) {
    this.peeking = on;
    this.draw();
  }

  draw() {
    if (!this.picture) return;
    const context = this.canvas.getContext("2d"), { scale, x, y } = this.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(scale, 0, 0, scale, x, y);
    context.imageSmoothingEnabled = scale < 4;
    context.drawImage(this.picture, 0, 0, this.width, this.height);
    if (!this.peeking) {
      context.globalAlpha = 0.7;
      context.drawImage(this.mask, 0, 0);
      context.globalAlpha = 1;
      if (this.stroke) this.drawStroke(context);
    }
    for (const colour of ["#000", "#fff"]) {
      context.strokeStyle = colour;
      context.lineWidth = (colour === "#000" ? 4 : 2) / scale;
      context.setLineDash(colour === "#000" ? [] : [8 / scale, 6 / scale]);
      for (const outline of this.outlines) {
        context.beginPath();
        for (const corner of outline) context.lineTo(...corner);
        context.closePath();
        context.stroke();
      }
      if (this.cursor) {
        context.beginPath();
        context.arc(...this.cursor, this.diameter / 2, 0, 2 * Math.PI);
        context.stroke();
      }
    }
    context.setLineDash([]);
  }

  drawStroke(context) {
    const { kind, width, points } = this.stroke;
    context.globalAlpha = 0.7;
    context.strokeStyle = context.fillStyle = kind === "eraser" ? "#fff" : PAINT;
    if (kind === "rectangle") {
      const [[x0, y0], [x1, y1]] = points;
      context.fillRect(x0, y0, x1 - x0, y1 - y0);
    } else {
      context.lineWidth = width;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(points[0][0] - 0.01, points[0][1]);
      for (const point of points) context.lineTo(...point);
      context.stroke();
    }
    context.globalAlpha = 1;
  }
}

const middle = ([[a, b], [c, d]]) => [(a + c) / 2, (b + d) / 2];
const apart = ([[a, b], [c, d]]) => Math.hypot(a - c, b - d);

function inside([x, y], outline) {
  let within = false;
  outline.forEach(([x1, y1], i) => {
    const [x2, y2] = outline[(i + 1) % outline.length];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) within = !within;
  });
  return within;
}
