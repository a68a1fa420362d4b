// The live board: how long each call has been as it is, counted here; and what has changed, said now and then.

const SAY_MS = 10000;
const clockNow = document.querySelector("[data-now]");
const came = performance.timeOrigin + (performance.getEntriesByType("navigation")[0]?.responseStart ?? 0);
const ahead = clockNow ? came - Number(clockNow.dataset.now) : 0; // of the server's clock, when the page came
let said = "";
let saidAt = 0;

function lasted(ms) {
  const whole = Math.max(0, Math.floor(ms / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function tick() {
  const now = Date.now() - ahead;
  for (const each of document.querySelectorAll("[data-since]")) {
    const words = lasted(now - Number(each.dataset.since));
    if (each.textContent !== words) each.textContent = words;
  }
  const summary = document.querySelector("[data-summary]")?.textContent ?? "";
  if (!said) said = summary;
  if (summary && summary !== said && Date.now() - saidAt > SAY_MS) {
    [said, saidAt] = [summary, Date.now()];
    document.querySelector("[data-said]").textContent = summary;
  }
}

tick();
setInterval(tick, 1000);
for (const region of document.querySelectorAll("[data-live]")) new MutationObserver(tick).observe(region, { childList: true });
