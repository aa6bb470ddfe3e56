// What pages do beyond HTML and htmx: times that go on, questions before a deletion, ticks, and ways out of the frame.
"use strict";

const STEPS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

function spell(seconds) {
  const parts = [];
  let left = Math.floor(Math.abs(seconds));
  for (const [unit, size] of STEPS) {
    if (left >= size || parts.length) parts.push(`${Math.floor(left / size)}${unit}`);
    left %= size;
  }
  return parts.slice(0, 2).join(" ").replace(/ 0.$/, "") || "0s";
}

function tell(time) {
  const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
  const isNow = seconds > -1 || time.dataset.relative === "due";
  const said = seconds > 0 ? `in ${spell(seconds)}` : isNow ? "now" : `${spell(seconds)} ago`;
  if (time.textContent !== said) time.textContent = said;
}

function tellAll() {
  document.querySelectorAll("time[data-relative]").forEach(tell);
}

// A form, or one of its buttons, may ask first. The browser's own dialogs are not allowed inside Airflow's frame.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (!question || form.dataset.confirmed) {
    delete form.dataset.confirmed;
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = question;
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter);
  };
  dialog.showModal();
}, true);

// A frame of Airflow's may not lead its window elsewhere, so the click is made in that window.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || parent === window || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const outside = parent.document.createElement("a");
  outside.href = link.href;
  parent.document.body.append(outside);
  outside.click();
  outside.remove();
});

// Filters are in the address. Airflow keeps ours behind its own, but sees only whole pages come.
document.addEventListener("htmx:after:history:replace", () => {
  if (parent === window) return;
  const [airflows, found] = parent.location.pathname.split(/(?<=\/plugin\/millrace)\//);
  if (found) parent.history.replaceState(parent.history.state, "", airflows + location.pathname + location.search);
});

function countTicked() {
  for (const said of document.querySelectorAll("[data-ticked]")) {
    // By its attribute: a form whose fields are called `id` has those as its property of that name.
    const form = said.closest("form").getAttribute("id");
    const ticked = document.querySelectorAll(`input[name="id"][form="${form}"]:checked`);
    said.textContent = ticked.length ? `${ticked.length} ticked:` : "Tick rows to";
  }
}

document.addEventListener("change", (event) => {
  const name = event.target.dataset?.tickAll;
  if (name) {
    document.querySelectorAll(`input[type="checkbox"][name="${name}"]`).forEach((box) => {
      box.checked = event.target.checked;
    });
  }
  countTicked();
});

// `/` goes to the search, as in Airflow's own lists.
document.addEventListener("keydown", (event) => {
  const search = document.querySelector("[data-search]");
  if (event.key !== "/" || !search || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  search.focus();
});

// From an action until its answer, the page says that it is busy: by a line at its top, and soon after by a word.
const busy = { asked: 0, typed: false, leaving: false };
let telling = 0;
function showBusy(change) {
  Object.assign(busy, change);
  const word = document.getElementById("working");
  if (document.documentElement.classList.toggle("busy", busy.asked > 0 || busy.typed || busy.leaving)) {
    telling ||= setTimeout(() => { word.textContent = "Working…"; }, 100);
  } else {
    clearTimeout(telling);
    telling = 0;
    word.textContent = "";
  }
}
const gone = new WeakSet(); // a row that has been deleted, a login that has ended: said once, not every few seconds
document.addEventListener("htmx:response:error", (event) => {
  if ([401, 404].includes(event.detail.ctx.response.status)) gone.add(event.detail.ctx.sourceElement);
});
const comesByItself = (event) => event.detail.ctx.sourceElement.matches("[hx-trigger^='every']");
document.addEventListener("htmx:before:request", (event) => {
  if (!comesByItself(event)) showBusy({ asked: busy.asked + 1, typed: false });
  else if (document.hidden || gone.has(event.detail.ctx.sourceElement)) event.preventDefault(); // nobody looks
});
document.addEventListener("htmx:finally:request", (event) => {
  if (!comesByItself(event)) showBusy({ asked: Math.max(0, busy.asked - 1) });
});
// What is typed is asked for a moment later, when no more is typed; unless it is no date yet, for example.
let typing = 0;
document.addEventListener("input", (event) => {
  if (!event.target.closest("[hx-trigger*='input delay'], fieldset:has(> [hx-trigger*='input from'])")) return;
  showBusy({ typed: true });
  clearTimeout(typing);
  typing = setTimeout(() => showBusy({ typed: false }), 500);
});
// A link, or a form that is sent by the browser itself; and back again, by the browser's own button.
addEventListener("beforeunload", () => showBusy({ leaving: true }));
addEventListener("pageshow", () => showBusy({ leaving: false }));
document.addEventListener("htmx:error", () => {
  document.getElementById("said").innerHTML =
    '<p class="notice bad" role="alert">The server cannot be reached: look at your connection, and try again.</p>';
});
document.addEventListener("htmx:after:swap", tellAll);

// The button that was pressed is gone with the page that it was on: reading goes on at the top of the new one.
document.addEventListener("htmx:after:swap", () => {
  if (document.activeElement === document.body) document.getElementById("page").focus({ preventScroll: true });
});

setInterval(tellAll, 1000);
tellAll();
