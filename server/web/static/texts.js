// A conversation that is open: what has come or changed is fetched anew, for words go by no event.

const thread = document.querySelector("[data-thread]");
const place = document.querySelector("[data-scroll]");
let marker = null;
let busy = false;

function end() {
  place.scrollTop = place.scrollHeight;
}

function take(page) {
  const fresh = page.querySelector("[data-thread]");
  if (!fresh) return location.reload(); // the room is locked
  const low = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  for (const item of fresh.children) {
    const known = document.getElementById(item.id);
    if (!known) thread.append(item.cloneNode(true));
    else if (known.innerHTML !== item.innerHTML) known.innerHTML = item.innerHTML;
  }
  if (low) end();
}

async function look() {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" }, cache: "no-store" });
    take(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } finally {
    busy = false;
  }
}

const region = document.querySelector("[data-live=texts-marker]");
new MutationObserver(() => {
  const now = region.querySelector("[data-marker]")?.dataset.marker ?? null;
  if (now === marker) return;
  marker = now;
  look(); // also the first time: something may have come since the page was made
}).observe(region, { childList: true });
end();
