// What every page may use; each page works without it. Live regions, copying, closing the menu,
// and the end of a session in every tab.

const EVENTS = "/events";
const RETRY_MS = 5000;

function copying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const words = button.textContent;
      button.textContent = "✓";
      setTimeout(() => { button.textContent = words; }, 1500);
    });
  }
}

function menu() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && location.hash === "#menu") location.hash = "#main";
  });
}

function replace(region, html) {
  if (region.contains(document.activeElement) && document.activeElement !== region) {
    region.dataset.waiting = html; // nobody loses their place while they type or tab through it
    return;
  }
  region.innerHTML = html;
  region.removeAttribute("data-stale");
}

function live() {
  const regions = new Map();
  for (const region of document.querySelectorAll("[data-live]")) regions.set(region.dataset.live, region);
  if (!regions.size || !window.EventSource) return;
  const query = new URLSearchParams([...regions.keys()].map((topic) => ["topic", topic]));
  let source;
  const open = () => {
    source = new EventSource(`${EVENTS}?${query}`);
    for (const [topic, region] of regions) {
      source.addEventListener(topic, (event) => replace(region, JSON.parse(event.data)));
    }
    source.addEventListener("end", () => { source.close(); location.reload(); });
    source.addEventListener("error", () => {
      for (const region of regions.values()) region.dataset.stale = "";
      if (source.readyState === EventSource.CLOSED) setTimeout(open, RETRY_MS);
    });
  };
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  document.addEventListener("focusout", (event) => {
    const region = event.target.closest?.("[data-live]");
    if (region?.dataset.waiting && !region.contains(event.relatedTarget)) {
      const html = region.dataset.waiting;
      delete region.dataset.waiting;
      region.innerHTML = html;
      region.removeAttribute("data-stale");
    }
  });
}

function signedOut() {
  if (!window.BroadcastChannel) return;
  const tabs = new BroadcastChannel("session");
  if (document.querySelector("[data-signed-out]")) tabs.postMessage("over");
  else tabs.addEventListener("message", () => location.reload()); // what it shows is nobody's to read any more
}

copying();
menu();
live();
signedOut();
