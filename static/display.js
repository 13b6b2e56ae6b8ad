"use strict";

// The driver's display: look again every moment, and say so when nobody answers any more.
const AWAY_AFTER_MS = 15000;
const LONGEST_ANSWER_MS = 5000;
let lastAnswer = Date.now();

function display() {
  return document.getElementById("driver-display");
}

// What is left standing would say that the station is free although nobody knows.
function showAway() {
  const title = document.createElement("h2");
  title.className = "display-away-title";
  title.textContent = document.body.dataset.awayTitle;
  const text = document.createElement("p");
  text.className = "display-next";
  text.textContent = document.body.dataset.awayText;
  const screen = display();
  screen.dataset.token = "";
  screen.querySelector(".display-points").replaceChildren(title, text);
}

async function look() {
  const screen = display();
  try {
    const answer = await fetch(`${document.body.dataset.state}?seen=${screen.dataset.token}`, {
      cache: "no-store",
      signal: AbortSignal.timeout(LONGEST_ANSWER_MS),
    });
    if (!answer.ok) throw new Error(answer.statusText);
    lastAnswer = Date.now();
    if (answer.status === 200) screen.outerHTML = await answer.text();
  } catch {
    if (Date.now() - lastAnswer > AWAY_AFTER_MS && screen.dataset.token) showAway();
  }
  setTimeout(look, Number(display().dataset.pollMs));
}

setTimeout(look, Number(display().dataset.pollMs));
