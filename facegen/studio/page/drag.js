// Drag keyframes to their places. For the keyboard and for touch, the buttons below them do the same.
const faces = () => [...document.querySelectorAll("#keyframes .grid-container button")];
const faceAt = (event) => faces().indexOf(document.elementFromPoint(event.clientX, event.clientY)?.closest("button"));
const mark = (place) => faces().forEach((face, number) => face.classList.toggle("is-target", number === place));

document.addEventListener("dragstart", (event) => event.target.closest?.("#keyframes") && event.preventDefault());
document.addEventListener("pointerdown", (event) => {
  const from = event.pointerType === "touch" ? -1 : faces().indexOf(event.target.closest("button"));
  if (from < 0) return;
  const follow = (moved) => mark(faceAt(moved));
  const end = (dropped) => {
    document.removeEventListener("pointermove", follow);
    mark(-1);
    const to = faceAt(dropped);
    if (to >= 0 && to !== from) trigger("input", { from, to });
  };
  document.addEventListener("pointermove", follow);
  document.addEventListener("pointerup", end, { once: true });
});
