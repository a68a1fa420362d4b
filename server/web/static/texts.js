// A conversation that is open: what has come or changed is fetched anew, for words go by no event.

const AGAIN_MS = 2000;
const thread = document.querySelector("[data-thread]");
const place = document.querySelector("[data-scroll]");
const here = thread.dataset.thread; // the page may be the answer to a form
const answering = document.querySelector("textarea[name=words]");
let marker = null;
let changed = false; // since the page was asked for last
let busy = false;

function end() {
  place.scrollTop = place.scrollHeight;
}

function shut() { // the room is locked: no word stays, but those that are being written
  if (!answering?.value) return location.assign(here);
  thread.replaceChildren();
  document.querySelector("[data-locked]").hidden = false;
}

function take(page) {
  const fresh = page.querySelector("[data-thread]");
  if (!fresh) return shut();
  const low = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  let at = thread.firstElementChild;
  for (const item of fresh.children) {
    const known = document.getElementById(item.id);
    if (!known) thread.insertBefore(item.cloneNode(true), at);
    else {
      if (known.innerHTML !== item.innerHTML) known.innerHTML = item.innerHTML;
      at = known.nextElementSibling;
    }
  }
  for (const item of [...thread.children]) if (!page.getElementById(item.id)) item.remove(); // moved, or its time is over
  for (const around of document.querySelectorAll("[data-around]")) {
    const now = page.querySelector(`[data-around=${around.dataset.around}]`)?.innerHTML ?? "";
    if (around.innerHTML !== now) around.innerHTML = now;
  }
  if (low) end();
}

async function look() {
  changed = true;
  if (busy) return; // whoever is at it looks once more
  busy = true;
  try {
    while (changed) {
      changed = false;
      const answer = await fetch(here, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.status >= 500 || answer.status === 429) throw new Error(answer.statusText);
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    }
  } catch {
    setTimeout(look, AGAIN_MS); // what has changed is still to be fetched
  } finally {
    busy = false;
  }
}

const region = document.querySelector("[data-live^='texts-marker:']");
new MutationObserver(() => {
  const now = region.querySelector("[data-marker]")?.dataset.marker ?? null;
  if (now === marker) return;
  marker = now;
  look(); // also the first time: something may have come since the page was made
}).observe(region, { childList: true });
end();
