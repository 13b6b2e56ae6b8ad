"use strict";

const SIGNED_OUT = 4401;
// After these close codes htmx comes back by itself.
const HTMX_RETURNS_AFTER = [1006, 1011, 1012, 1013];
const PAUSE_MS = 1500;
// A station that was told to restart has gone by then.
const LONGEST_FAREWELL_MS = 60000;
// The station says something every three seconds; a line that is cut without a word is noticed by its silence.
const SILENT_MS = 10_000;

let isLeaving = false;
let isEdited = false;
let silence = 0;

// The header of every page, and the tile of the dashboard, say whether the page is live.
function showConnection(isLive) {
  if (isLeaving) return;
  const line = document.getElementById("link-state");
  const shown = document.getElementById("data-at")?.textContent ?? "";
  const texts = document.body.dataset;
  document.documentElement.toggleAttribute("data-link-lost", !isLive);
  if (line) line.textContent = isLive ? "" : `${texts.offlineText}. ${texts.lastDataText} ${shown}`;
  const tile = document.getElementById("connection-web");
  const word = tile?.querySelector("[data-role=state]");
  if (!word) return;
  word.dataset.connected = word.dataset.connected || word.textContent;
  tile.dataset.tone = isLive ? "good" : "bad";
  word.textContent = isLive ? word.dataset.connected : `${texts.offlineText}. ${texts.lastDataText} ${shown}`;
}

function heard(event) {
  showConnection(true);
  clearTimeout(silence);
  silence = setTimeout(() => {
    showConnection(false);
    event.detail.socketWrapper.reconnect();
  }, SILENT_MS);
}

document.addEventListener("htmx:wsOpen", heard);
document.addEventListener("htmx:wsAfterMessage", heard);
document.addEventListener("htmx:wsClose", (event) => {
  const code = event.detail.event.code;
  clearTimeout(silence);
  if (code === SIGNED_OUT) {
    // What somebody has typed is theirs; everything else may go.
    if (!isEdited) location.reload();
    showConnection(false);
    const line = document.getElementById("link-state");
    if (line) line.textContent = document.body.dataset.signedOutText;
    return;
  }
  showConnection(false);
  if (!HTMX_RETURNS_AFTER.includes(code) && event.target.isConnected) {
    setTimeout(event.detail.socketWrapper.reconnect, PAUSE_MS * (1 + Math.random()));
  }
});

// A part that renews itself must not take a form that somebody fills along to the log-in.
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const target = event.detail.xhr.getResponseHeader("HX-Redirect");
  if (!isEdited || !target?.startsWith("/login")) return;
  event.preventDefault();
  showConnection(false);
  const line = document.getElementById("link-state");
  if (line) line.textContent = document.body.dataset.signedOutText;
});

window.addEventListener("offline", () => showConnection(false));
window.addEventListener("pagehide", () => { isLeaving = true; });
document.addEventListener("input", (event) => {
  if (event.target.closest("main form[method=post]")) isEdited = true;
});

// What went well need not stay; a refusal does, until the next try.
document.addEventListener("htmx:afterSwap", () => {
  for (const answer of document.querySelectorAll(".answer[data-tone=success]")) {
    setTimeout(() => answer.replaceChildren(), 6000);
  }
});

// A menu that lies over the page closes when one looks elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".user-menu[open]")) {
    if (!menu.contains(event.target)) menu.removeAttribute("open");
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll(".user-menu[open]")) {
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  }
});

// On a phone the menu is a drawer over the page. While it is open, the keyboard stays in it and at its button.
const isDrawer = matchMedia("(max-width: 60rem)");
const menuStops = () => [document.getElementById("menu-button"), ...document.querySelectorAll("#menu a")];

document.addEventListener("toggle", (event) => {
  if (event.target.id !== "menu") return;
  const isOpen = event.newState === "open";
  for (const part of document.querySelectorAll(".skip-link, .brand, .topbar-side, .banners, main")) part.inert = isOpen;
  if (isOpen) (event.target.querySelector("[aria-current]") ?? event.target.querySelector("a"))?.focus();
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Tab" || !document.querySelector("#menu:popover-open")) return;
  const stops = menuStops();
  const at = stops.indexOf(document.activeElement);
  event.preventDefault();
  stops[(at + (event.shiftKey ? stops.length - 1 : 1)) % stops.length].focus();
});
isDrawer.addEventListener("change", () => document.querySelector("#menu:popover-open")?.hidePopover());

// What a template makes is shown while it is typed.
document.addEventListener("input", (event) => {
  for (const output of document.querySelectorAll("output[data-fills]")) {
    if (output.htmlFor.contains(event.target.id)) {
      output.textContent = event.target.value.trim().replaceAll(output.dataset.fills, output.dataset.with);
    }
  }
});

// After a restart: come back as soon as the station answers as ready again.
function tellOfPatience(panel) {
  for (const part of panel.querySelectorAll("[data-when-late]")) part.hidden = false;
}
async function waitForStation(panel) {
  const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  // What answers at first may be the station that is about to go.
  let mayBeTheOld = "goesAway" in panel.dataset;
  const begun = Date.now();
  const latest = begun + LONGEST_FAREWELL_MS;
  await pause();
  for (;;) {
    try {
      const answer = await fetch(panel.dataset.waitFor, { cache: "no-store" });
      const { run } = await answer.json();
      // The page of the order knows which run of the station answered it; one that still answers is about to go.
      if (panel.dataset.run) mayBeTheOld = run === panel.dataset.run;
      if (answer.ok && (!mayBeTheOld || (!panel.dataset.run && Date.now() > latest))) break;
      if (!panel.dataset.run) mayBeTheOld &&= answer.ok;
      if (Date.now() - begun > Number(panel.dataset.patienceS || 0) * 1000) tellOfPatience(panel);
    } catch {
      // Still away.
      if (!panel.dataset.run) mayBeTheOld = false;
      if (Date.now() - begun > Number(panel.dataset.patienceS || 0) * 1000) tellOfPatience(panel);
    }
    await pause();
  }
  location.assign(panel.dataset.then);
}

// What is not saved is kept by the station, but whoever leaves should know that it has no effect yet.
let isSaving = false;
document.addEventListener("submit", (event) => {
  // htmx answers without leaving the page.
  if (!event.defaultPrevented && event.target.closest("[data-unsaved]")) isSaving = true;
});
window.addEventListener("beforeunload", (event) => {
  if (!isSaving && document.querySelector("[data-unsaved]")) event.preventDefault();
});

// A form that was refused comes back with the reasons beside its fields.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status === 422) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

// Uploads: what cannot work is said before anything is sent; the rest shows how far it is and can be given up.
const KEEP_ALIVE_MS = 5 * 60 * 1000;
let keptAliveAt = Date.now();
const uploadOf = (event) => event.target.closest?.("[data-upload]");
function showUpload(form, isRunning) {
  // How the last file fared says nothing of this one.
  for (const notice of form.parentElement.querySelectorAll(":scope > .notice")) notice.hidden = true;
  for (const part of ["progress", "abort"]) form.querySelector(`[data-part=${part}]`).hidden = !isRunning;
}
function refuseUpload(form, text) {
  showUpload(form, false);
  form.querySelector("[role=alert]").textContent = text;
}
document.addEventListener("htmx:beforeRequest", (event) => {
  const form = uploadOf(event);
  if (!form) return;
  const size = form.querySelector("input[type=file]").files[0]?.size || 0;
  const refusal =
    size > Number(form.dataset.largest) ? form.dataset.tooLarge : size > Number(form.dataset.room) ? form.dataset.noRoom : "";
  refuseUpload(form, refusal);
  if (refusal) event.preventDefault();
  else showUpload(form, true);
});
document.addEventListener("htmx:xhr:progress", (event) => {
  const form = uploadOf(event);
  if (!form || !event.detail.lengthComputable) return;
  // Somebody waits for it: over a slow line it may take longer than a session without a request lasts.
  if (Date.now() - keptAliveAt > KEEP_ALIVE_MS) {
    keptAliveAt = Date.now();
    fetch(location.href, { cache: "no-store" }).catch(() => {});
  }
  const percent = Math.floor((100 * event.detail.loaded) / event.detail.total);
  form.querySelector("progress").value = percent;
  form.querySelector("[data-part=percent]").textContent = `${percent} %`;
});
document.addEventListener("htmx:responseError", (event) => {
  const form = uploadOf(event);
  if (!form) return;
  const answer = event.detail.xhr;
  const isText = (answer.getResponseHeader("Content-Type") || "").startsWith("text/plain");
  // Such an answer says it in English and in German, one line each.
  const lines = isText ? answer.responseText.trim().split("\n") : [];
  refuseUpload(form, lines[document.documentElement.lang === "de" ? 1 : 0] || lines[0] || form.dataset.cutOff);
});
for (const failure of ["htmx:sendError", "htmx:sendAbort", "htmx:timeout"]) {
  document.addEventListener(failure, (event) => {
    const form = uploadOf(event);
    if (form) refuseUpload(form, form.dataset.cutOff);
  });
}
document.addEventListener("click", (event) => {
  const abort = event.target.closest("[data-part=abort]");
  if (abort) htmx.trigger(abort.closest("form"), "htmx:abort");
});

// An archive that was being made while somebody waited is downloaded when it is there.
document.addEventListener("htmx:afterSettle", () => {
  const link = document.querySelector("[data-starts-download]");
  if (!link) return;
  link.removeAttribute("data-starts-download");
  link.click();
});

// Over plain HTTP browsers give scripts no clipboard; a selected text is copied with one key.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copies);
  field.select();
  if (navigator.clipboard) await navigator.clipboard.writeText(field.value);
  else if (!document.execCommand("copy")) return;
  button.querySelector("span").textContent = button.dataset.done;
});

// The station's clock goes on between two looks at it.
const LOCALES = { de: "de-DE", en: "en-GB" };
function showClocks() {
  for (const clock of document.querySelectorAll("[data-clock]")) {
    clock.base = clock.base ?? Date.parse(clock.dateTime) - performance.now();
    clock.textContent = new Intl.DateTimeFormat(LOCALES[document.documentElement.lang], {
      timeZone: clock.dataset.clock,
      dateStyle: "medium",
      timeStyle: "medium",
    }).format(clock.base + performance.now());
  }
}

// What only a browser knows: its time zone, and its time at the moment somebody presses the button.
function tellOfBrowser() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  for (const field of document.querySelectorAll("[data-browser-zone]")) field.value = zone;
  for (const line of document.querySelectorAll("[data-browser-zone-text]")) {
    line.querySelector("strong").textContent = zone;
    line.hidden = !zone;
  }
  for (const button of document.querySelectorAll("[data-needs-script]")) button.hidden = false;
}
document.addEventListener("submit", (event) => {
  for (const field of event.target.querySelectorAll("[data-browser-time]")) field.value = Date.now();
});

// A change of the network is on trial: the seconds run here, too, because the station may be out of reach. As soon as it
// answers at its new address, the page goes there.
setInterval(() => {
  for (const seconds of document.querySelectorAll("[data-countdown]")) {
    seconds.textContent = Math.max(0, Number(seconds.textContent) - 1);
  }
}, 1000);
async function probeNewAddress() {
  const trial = document.querySelector("[data-probe]");
  if (!trial) return;
  try {
    await fetch(`${trial.dataset.probe}/healthz`, { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(PAUSE_MS) });
    location.assign(trial.dataset.then);
  } catch {
    setTimeout(probeNewAddress, PAUSE_MS);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  probeNewAddress();
  for (const button of document.querySelectorAll("[data-copies]")) button.hidden = false;
  tellOfBrowser();
  if (document.querySelector("[data-clock]")) setInterval(showClocks, 1000);
  for (const button of document.querySelectorAll("[data-prints]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
  // A long menu scrolls by itself; the page one is on must be in sight.
  if (!isDrawer.matches) document.querySelector(".menu-link[aria-current]")?.scrollIntoView({ block: "nearest" });
  const panel = document.querySelector("[data-wait-for]");
  if (panel) waitForStation(panel);
});
