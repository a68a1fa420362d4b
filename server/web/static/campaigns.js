// The words of a campaign as they are written: what is added to them, and how many parts they take. The server counts.

const PAUSE_MS = 400;

const form = document.querySelector("form[data-measure]");
const region = document.querySelector("[data-measured]");

if (form && region) {
  const token = document.querySelector('meta[name="form-token"]').content;
  let waiting = 0;
  let asked = 0;
  const measure = async () => {
    const fields = new FormData(form);
    if (!String(fields.get("template") ?? "").trim()) return;
    const turn = ++asked;
    const wanted = ["from", "template", "message_class", "language", "transliterated"];
    const body = JSON.stringify(Object.fromEntries(wanted.map((name) => [name, fields.get(name) ?? ""])));
    const headers = { "Content-Type": "application/json", "X-Form-Token": token };
    try {
      const answer = await fetch(form.dataset.measure, { method: "POST", headers, body });
      const said = await answer.json();
      if (turn !== asked) return; // something newer is on its way
      if (answer.ok) region.innerHTML = said.html;
      else region.textContent = said.told ?? "";
    } catch {
      // the button below does the same without a script
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(measure, PAUSE_MS);
  });
  measure();
}
