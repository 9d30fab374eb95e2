// The stack of cards: the face to label on top, the next one below, further ones loaded but hidden.

const AHEAD = 8;
const THROW_PX = 80;
const FLICK_PX_PER_MS = 0.5;
const TAP_PX = 10;
const TAP_MS = 300;
const LEAVE_MS = 220;
const ZOOM = 2.5;

export class Deck {
  #cards = new Map(); // face key -> its card
  #faces = [];
  #press = null;
  #lastTap = 0;
  #pan = { x: 0, y: 0 };

  /** Calls onThrow(label) after a swipe, onZoom(isZoomed) after a change of zoom. */
  constructor(element, sides, onThrow, onZoom) {
    this.element = element;
    this.sides = sides;
    this.onThrow = onThrow;
    this.onZoom = onZoom;
    this.isZoomed = false;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", () => this.#cancel());
    new ResizeObserver(() => this.#fit()).observe(element);
  }

  /** True once the top face's picture is loaded, or has failed to load. */
  get isShown() {
    return this.#top?.querySelector("img").complete ?? false;
  }

  /** Show the first of these faces, and load the next ones. */
  show(faces) {
    if (faces[0]?.key !== this.#faces[0]?.key) {
      this.setZoom(false);
      this.#press = null;
    }
    this.#faces = faces.slice(0, AHEAD);
    const wanted = new Set(this.#faces.map((face) => face.key));
    for (const [key, card] of this.#cards) {
      if (wanted.has(key)) continue;
      card.remove();
      this.#cards.delete(key);
    }
    this.#faces.forEach((face, index) => {
      const card = this.#cards.get(face.key) ?? this.#make(face);
      card.style.zIndex = String(AHEAD - index);
      card.style.visibility = index < 2 ? "visible" : "hidden";
      card.toggleAttribute("inert", index > 0);
      card.classList.toggle("under", index > 0);
      if (index > 0) place(card, 0, 0);
    });
  }

  /** Let the top card fly off; `show` then shows the next. */
  dismiss(label) {
    const card = this.#top;
    if (!card) return;
    this.#cards.delete(this.#faces[0].key);
    card.style.zIndex = String(AHEAD + 1);
    card.classList.remove("settling");
    card.classList.add("leaving");
    place(card, (label === "keep" ? 1 : -1) * this.element.clientWidth, 0);
    stamp(card, label === "keep" ? 1 : -1);
    setTimeout(() => card.remove(), LEAVE_MS);
  }

  setZoom(isZoomed) {
    const card = this.#top;
    if (!card || this.isZoomed === isZoomed) return;
    this.isZoomed = isZoomed;
    this.#pan = { x: 0, y: 0 };
    card.classList.toggle("zoomed", isZoomed);
    if (isZoomed) sharpen(card.querySelector("img"), `pictures/${this.#faces[0].key}?side=${this.sides.at(-1)}`);
    this.#drawZoom(card);
    this.onZoom(isZoomed);
  }

  get #top() {
    return this.#faces.length > 0 ? this.#cards.get(this.#faces[0].key) : undefined;
  }

  #make(face) {
    const card = document.createElement("div");
    card.className = "card";
    const image = new Image();
    image.alt = `Face ${face.name}`;
    image.draggable = false;
    image.addEventListener("error", () => card.append(text("p", "broken", `${face.name} cannot be shown.`)), { once: true });
    image.src = `pictures/${face.key}?side=${this.#side()}`;
    card.append(image, text("span", "stamp keep", "KEEP"), text("span", "stamp drop", "DROP"));
    this.element.append(card);
    this.#cards.set(face.key, card);
    return card;
  }

  /** The smallest available side that fills the deck on this screen. */
  #side() {
    const pixels = Math.min(this.element.clientWidth, this.element.clientHeight) * devicePixelRatio;
    return this.sides.find((side) => side >= pixels) ?? this.sides.at(-1);
  }

  #fit() {
    this.element.style.setProperty("--side", `${Math.min(this.element.clientWidth, this.element.clientHeight)}px`);
  }

  #down(event) {
    if (!this.#top || !event.isPrimary || event.button !== 0) return;
    this.element.setPointerCapture(event.pointerId);
    this.#press = { x: event.clientX, y: event.clientY, time: event.timeStamp, pan: { ...this.#pan } };
    this.#top.classList.remove("settling");
  }

  #move(event) {
    if (!this.#press || !event.isPrimary) return;
    const [dx, dy] = [event.clientX - this.#press.x, event.clientY - this.#press.y];
    if (this.isZoomed) {
      this.#pan = { x: this.#press.pan.x + dx, y: this.#press.pan.y + dy };
      this.#drawZoom(this.#top);
      return;
    }
    place(this.#top, dx, dy / 4);
    stamp(this.#top, dx / THROW_PX);
  }

  #up(event) {
    if (!this.#press || !event.isPrimary) return;
    const [dx, dy] = [event.clientX - this.#press.x, event.clientY - this.#press.y];
    const speed = Math.abs(dx) / Math.max(event.timeStamp - this.#press.time, 1);
    const isThrown = Math.abs(dx) > THROW_PX || (Math.abs(dx) > THROW_PX / 3 && speed > FLICK_PX_PER_MS);
    const wasZoomed = this.isZoomed;
    if (wasZoomed) this.#press = null;
    else this.#cancel();
    if (Math.hypot(dx, dy) < TAP_PX) this.#tap(event.timeStamp);
    else if (!wasZoomed && isThrown && Math.abs(dx) > Math.abs(dy)) this.onThrow(dx > 0 ? "keep" : "drop");
  }

  /** Let the card return to the middle. */
  #cancel() {
    this.#press = null;
    if (!this.#top || this.isZoomed) return;
    this.#top.classList.add("settling");
    place(this.#top, 0, 0);
    stamp(this.#top, 0);
  }

  #tap(time) {
    const isDouble = time - this.#lastTap < TAP_MS;
    this.#lastTap = isDouble ? 0 : time;
    if (isDouble) this.setZoom(!this.isZoomed);
  }

  #drawZoom(card) {
    const reach = (card.clientWidth * (ZOOM - 1)) / 2;
    const clamp = (value) => Math.max(-reach, Math.min(reach, value));
    this.#pan = { x: clamp(this.#pan.x), y: clamp(this.#pan.y) };
    const transform = `translate(${this.#pan.x}px, ${this.#pan.y}px) scale(${ZOOM})`;
    card.querySelector("img").style.transform = this.isZoomed ? transform : "";
  }
}

function place(card, dx, dy) {
  card.style.transform = dx || dy ? `translate(${dx}px, ${dy}px) rotate(${dx / 30}deg)` : "";
}

/** Show the verdict that a swipe will give, from -1 (drop) to 1 (keep), on a card. */
function stamp(card, strength) {
  card.querySelector(".stamp.keep").style.opacity = String(Math.max(0, Math.min(1, strength)));
  card.querySelector(".stamp.drop").style.opacity = String(Math.max(0, Math.min(1, -strength)));
}

/** Replace an image by a larger version once that is loaded. */
function sharpen(image, source) {
  const larger = new Image();
  larger.addEventListener("load", () => { image.src = source; });
  larger.src = source;
}

function text(tag, className, content) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}
