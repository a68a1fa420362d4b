// The player of a recording: a picture of both sides, keys, speed, notes. Without it the browser's own player stands there.

const STEP_S = 5;
const JUMP_S = 30;
const LOOK_MS = 700;

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

class Player {
  constructor(section) {
    this.section = section;
    this.audio = section.querySelector("audio");
    this.wave = section.querySelector("[data-wave]");
    this.canvas = this.wave.querySelector("canvas");
    this.length = Number(section.dataset.duration) / 1000;
    this.peaks = { left: [], right: [], piece_ms: 1000, complete: false };
    this.at = document.querySelector("#f-at");
    this.typed = false;
    this.toggle = section.querySelector("[data-act=toggle]");
  }

  start() {
    this.audio.removeAttribute("controls");
    for (const part of this.section.querySelectorAll("[hidden]")) part.hidden = false;
    this.buttons();
    this.keys();
    this.follow();
    new ResizeObserver(() => this.draw()).observe(this.wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.look();
  }

  seek(seconds) {
    this.audio.currentTime = Math.min(Math.max(0, seconds), this.length);
    this.show();
  }

  flip() {
    if (this.audio.paused) this.audio.play().catch(() => {}); // whoever pauses at once interrupts it
    else this.audio.pause();
  }

  buttons() {
    this.toggle.addEventListener("click", () => this.flip());
    this.section.querySelector("[data-act=back]").addEventListener("click", () => this.seek(this.audio.currentTime - 10));
    this.section.querySelector("[data-act=on]").addEventListener("click", () => this.seek(this.audio.currentTime + 10));
    const speed = this.section.querySelector("[data-speed]");
    speed.addEventListener("change", () => { this.audio.playbackRate = Number(speed.value); });
    for (const link of document.querySelectorAll("[data-seek]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.seek(Number(link.dataset.seek));
        this.wave.focus();
      });
    }
    this.at?.addEventListener("input", () => { this.typed = true; });
  }

  keys() {
    const far = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S, PageDown: -JUMP_S, PageUp: JUMP_S };
    this.wave.addEventListener("keydown", (event) => {
      if (event.key in far) this.seek(this.audio.currentTime + far[event.key]);
      else if (event.key === "Home") this.seek(0);
      else if (event.key === "End") this.seek(this.length);
      else if (event.key === " ") this.flip();
      else return;
      event.preventDefault();
    });
    const place = (event) => {
      const box = this.wave.getBoundingClientRect();
      this.seek(((event.clientX - box.left) / box.width) * this.length);
    };
    this.wave.addEventListener("pointerdown", (event) => {
      this.wave.setPointerCapture(event.pointerId);
      place(event);
    });
    this.wave.addEventListener("pointermove", (event) => {
      if (this.wave.hasPointerCapture(event.pointerId)) place(event);
    });
  }

  follow() {
    for (const event of ["timeupdate", "seeking", "loadedmetadata", "ended"]) this.audio.addEventListener(event, () => this.show());
    for (const event of ["play", "pause", "ended"]) {
      this.audio.addEventListener(event, () => {
        this.toggle.textContent = this.audio.paused ? this.section.dataset.play : this.section.dataset.pause;
      });
    }
    const failed = () => { this.section.querySelector("[data-wave-state]").textContent = this.section.dataset.failed; };
    this.audio.addEventListener("error", failed);
    this.audio.querySelector("source:last-of-type").addEventListener("error", failed); // none of them could be taken
    this.show();
  }

  show() {
    const now = this.audio.currentTime;
    const words = this.section.dataset.of.replace("{at}", clock(now)).replace("{length}", clock(this.length));
    this.section.querySelector("[data-time]").textContent = words;
    this.wave.setAttribute("aria-valuenow", String(Math.floor(now)));
    this.wave.setAttribute("aria-valuetext", words);
    if (this.at && !this.typed && document.activeElement !== this.at) this.at.value = clock(now);
    this.draw();
  }

  async look() {
    const answer = await fetch(this.section.dataset.waveform, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    this.peaks = await answer.json();
    this.draw();
    if (this.peaks.complete && !this.audio.error) this.section.querySelector("[data-wave-state]").textContent = "";
    else setTimeout(() => this.look(), LOOK_MS);
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(this.wave.clientWidth * ratio), Math.round(this.wave.clientHeight * ratio)];
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const colours = getComputedStyle(this.wave);
    const paint = this.canvas.getContext("2d");
    paint.clearRect(0, 0, width, height);
    const middle = height / 2;
    paint.fillStyle = colours.borderTopColor;
    paint.fillRect(0, Math.round(middle), width, 1);
    const pieces = Math.max(1, (this.length * 1000) / this.peaks.piece_ms);
    const bar = Math.max(1, Math.round(ratio));
    for (const [side, key] of [["left", ".wave-key.caller"], ["right", ".wave-key.called"]]) {
      paint.fillStyle = getComputedStyle(this.section.querySelector(key)).backgroundColor;
      for (let x = 0; x < width; x += bar + 1) {
        const [from, to] = [Math.floor((x / width) * pieces), Math.ceil(((x + bar + 1) / width) * pieces)];
        const loud = Math.max(0, ...this.peaks[side].slice(from, Math.max(to, from + 1))) / 255;
        const tall = Math.round(Math.sqrt(loud) * (middle - 2 * ratio));
        if (tall) paint.fillRect(x, side === "left" ? middle - tall : middle + 1, bar, tall);
      }
    }
    paint.fillStyle = colours.color;
    paint.fillRect(Math.round((this.audio.currentTime / Math.max(this.length, 0.001)) * (width - 2 * ratio)), 0, Math.ceil(2 * ratio), height);
  }
}

for (const section of document.querySelectorAll("[data-player]")) new Player(section).start();
