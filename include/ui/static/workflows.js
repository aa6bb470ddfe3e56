// <live-rate of="workflow 9" count="1234" at="1767225600000">: by how much `count` grows in a minute.
//
// `at` is when it was counted, in milliseconds, and changes whenever the page fetches itself again. The rate is measured
// over the last minute at most, and goes on from page to page; until it is known, what is inside shows.
"use strict";

const SPAN = 60_000;
const LEAST = 4_000;

class LiveRate extends HTMLElement {
  static observedAttributes = ["at"];

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).append(document.createElement("slot"));
  }

  attributeChangedCallback() {
    const known = `rate of ${this.getAttribute("of")}`;
    const [now, count] = [Number(this.getAttribute("at")), Number(this.getAttribute("count"))];
    const before = JSON.parse(sessionStorage.getItem(known) ?? "[]");
    const seen = [...before.filter(([at]) => now - SPAN <= at && at < now), [now, count]];
    sessionStorage.setItem(known, JSON.stringify(seen));
    this.tell(seen);
  }

  tell(seen) {
    const [[since, first]] = seen;
    const [until, last] = seen.at(-1);
    if (until - since < LEAST || last < first) return;
    const perMinute = ((last - first) * 60_000) / (until - since);
    this.shadowRoot.textContent = Math.round(perMinute).toLocaleString("en").replaceAll(",", "\u202f");
  }
}

customElements.define("live-rate", LiveRate);
