// SPDX-License-Identifier: Apache-2.0
// Follow the changes of a page: each section that has changed is replaced.
"use strict";

(() => {
  const main = document.getElementById("main");
  const live = document.getElementById("live");
  if (!main.dataset.follow || !window.EventSource) {
    return;
  }
  const status = live.querySelector("[role=status]");
  const button = live.querySelector("button");
  const seen = new Map();
  let source = null;
  let paused = false;

  function say(text) {
    if (status.textContent !== text) {
      status.textContent = text;
    }
  }

  // A name that finds the same element again after its section was replaced.
  function nameOf(element) {
    const same = (one) => one.id === element.id && one.getAttribute("href") === element.getAttribute("href");
    const among = [...main.querySelectorAll(element.tagName)].filter(same);
    return { tag: element.tagName, same, at: among.indexOf(element) };
  }

  function replace(old, fresh) {
    const active = document.activeElement;
    const name = old.contains(active) ? nameOf(active) : null;
    old.replaceWith(fresh);
    if (name) {
      const found = [...main.querySelectorAll(name.tag)].filter(name.same);
      (found[name.at] || found[0] || main).focus({ preventScroll: true });
    }
  }

  function selects(element) {
    const selection = window.getSelection();
    return !selection.isCollapsed && selection.containsNode(element, true);
  }

  function show(text) {
    const parsed = new DOMParser().parseFromString(text, "text/html");
    const heading = parsed.querySelector("h1");
    const shown = main.querySelector("h1");
    if (heading && shown && heading.innerHTML !== shown.innerHTML) {
      shown.replaceWith(heading);
    }
    const fresh = [...parsed.querySelectorAll("section[id]")];
    const known = new Set(fresh.map((section) => section.id));
    for (const old of main.querySelectorAll("section[id]")) {
      if (!known.has(old.id) && !("kept" in old.dataset)) {
        old.remove();
      }
    }
    let before = null;
    for (const section of fresh) {
      const old = document.getElementById(section.id);
      const code = section.outerHTML;
      if (!old) {
        const place = before ? before.parentNode : main.querySelector("#list") || main;
        place.insertBefore(section, before ? before.nextSibling : place.querySelector("section"));
      } else if (seen.get(section.id) !== code && !selects(old)) {
        replace(old, section);
      }
      seen.set(section.id, code);
      before = document.getElementById(section.id);
    }
  }

  function close() {
    if (source) {
      source.close();
      source = null;
    }
  }

  function follow() {
    close();
    if (paused || document.hidden) {
      return;
    }
    source = new EventSource(main.dataset.follow);
    let reason = "The connection is lost; it is tried again.";
    source.addEventListener("page", (event) => {
      show(event.data);
      document.getElementById("read").textContent = new Date().toISOString().slice(0, 19).replace("T", " ");
      say("This page follows the service.");
    });
    source.addEventListener("away", (event) => say(`This page is not renewed: ${event.data}`));
    source.addEventListener("full", (event) => {
      reason = `This page is not renewed: ${event.data}; it is tried again.`;
    });
    source.addEventListener("gone", () => {
      say("There is no such page any more.");
      close();
    });
    source.addEventListener("error", () => say(reason));
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    say(paused ? "Updates are paused." : "");
    follow();
  });
  // A page that is not seen takes no connection: a browser has few for one server.
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", close);
  live.hidden = false;
  say("Updates begin.");
  follow();
})();
