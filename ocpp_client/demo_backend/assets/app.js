"use strict";

// Commands go over /control; the page refreshes itself unless somebody is typing in it.
const REFRESH_MS = 2000;
const outcome = document.getElementById("outcome");

function command(request) {
  return new Promise((resolve, reject) => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/control`);
    socket.addEventListener("open", () => socket.send(JSON.stringify(request)));
    socket.addEventListener("message", (event) => {
      resolve(JSON.parse(event.data));
      socket.close();
    });
    socket.addEventListener("error", () => reject(new Error("/control")));
  });
}

async function refresh() {
  const live = document.getElementById("live");
  if (live.contains(document.activeElement) && document.activeElement.tagName === "INPUT") return;
  const response = await fetch(location.href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const open = new Set([...live.querySelectorAll("details[open]")].map((one) => one.id));
  const fresh = document.adoptNode(page.getElementById("live"));
  for (const details of fresh.querySelectorAll("details")) details.open = open.has(details.id);
  for (const input of live.querySelectorAll("input")) {
    const twin = fresh.querySelector(`#${CSS.escape(input.id)}`);
    if (twin) twin.value = input.value;
  }
  live.replaceWith(fresh);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.action) return;
  event.preventDefault();
  const payload = { ...JSON.parse(form.dataset.payload), ...Object.fromEntries(new FormData(form)) };
  const request = { station: form.dataset.station, action: form.dataset.action, payload };
  outcome.textContent = `${request.action} …`;
  document.activeElement.blur();
  try {
    const answer = await command(request);
    outcome.textContent = answer.error
      ? `${request.action}: ${answer.error.code} ${answer.error.description}`
      : `${request.action}: ${answer.payload.status ?? JSON.stringify(answer.payload)}`;
  } catch (error) {
    outcome.textContent = `${request.action}: ${error.message}`;
  }
  refresh().catch(() => undefined);
});

setInterval(() => refresh().catch(() => undefined), REFRESH_MS);
