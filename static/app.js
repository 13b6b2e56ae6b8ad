"use strict";

// The connection tile says whether the page is live.
const SIGNED_OUT = 4401;
// After these close codes htmx comes back by itself.
const HTMX_RETURNS_AFTER = [1006, 1011, 1012, 1013];
const PAUSE_MS = 1500;

function showConnection(isLive) {
  const tile = document.getElementById("connection-web");
  const word = tile && tile.querySelector("[data-role=state]");
  if (!word) return;
  word.dataset.connected = word.dataset.connected || word.textContent;
  tile.dataset.tone = isLive ? "good" : "bad";
  word.textContent = isLive ? word.dataset.connected : document.body.dataset.offlineText;
}

document.addEventListener("htmx:wsOpen", () => showConnection(true));
document.addEventListener("htmx:wsClose", (event) => {
  const code = event.detail.event.code;
  if (code === SIGNED_OUT) {
    location.reload();
    return;
  }
  showConnection(false);
  if (!HTMX_RETURNS_AFTER.includes(code) && event.target.isConnected) {
    setTimeout(event.detail.socketWrapper.reconnect, PAUSE_MS * (1 + Math.random()));
  }
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

// After a restart: come back as soon as the station answers as ready again.
async function waitForStation(panel) {
  const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  await pause();
  for (;;) {
    try {
      const answer = await fetch(panel.dataset.waitFor, { cache: "no-store" });
      if (answer.ok) break;
    } catch {
      // Still away.
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

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-prints]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
  // On a phone the menu is a strip; the page one is on must be in sight.
  document.querySelector(".menu-link[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const panel = document.querySelector("[data-wait-for]");
  if (panel) waitForStation(panel);
});
