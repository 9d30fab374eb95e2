// The stack of cards: the face to label on top, the next one under it, the ones after that fetched ahead.

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

  /** onThrow(label) follows a swipe, onZoom(isZoomed) each change of zoom. */
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

  /** Whether the face on top can be seen: its picture has arrived, or cannot. */
  get isShown() {
    return this.#top?.querySelector("img").complete ?? false;
  }

  /** Show the first of these faces; those after it are fetched. */
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

  /** Let the card on top fly off; `show` then brings the next. */
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

  /** The smallest side sent that fills the deck on this screen. */
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

  /** Let go: the card goes back to where it was. */
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
    const hold = (value) => Math.max(-reach, Math.min(reach, value));
    this.#pan = { x: hold(this.#pan.x), y: hold(this.#pan.y) };
    const transform = `translate(${this.#pan.x}px, ${this.#pan.y}px) scale(${ZOOM})`;
    card.querySelector("img").style.transform = this.isZoomed ? transform : "";
  }
}

function place(card, dx, dy) {
  card.style.transform = dx || dy ? `translate(${dx}px, ${dy}px) rotate(${dx / 30}deg)` : "";
}

/** How clearly a card is going to be kept (up to 1) or dropped (down to -1). */
function stamp(card, strength) {
  card.querySelector(".stamp.keep").style.opacity = String(Math.max(0, Math.min(1, strength)));
  card.querySelector(".stamp.drop").style.opacity = String(Math.max(0, Math.min(1, -strength)));
}

/** Put a larger version in an image's place once it is there; the smaller stays if there is none. */
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
