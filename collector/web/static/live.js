// Keeps the page true: listens to /api/events and has htmx fetch the live part again when something happened.
//
// The server renders everything; this file only decides when to ask. At most one request is under way, the pause
// between two grows with how long the server took, and a hidden tab holds no connection.
(() => {
  const live = () => document.getElementById("live");
  const sign = document.getElementById("alive");
  const KINDS = [
    "message", "event", "transaction", "terminal", "agent", "receipt", "settlement", "case", "refusal", "reconciliation",
    "transaction.started", "transaction.completed", "transaction.pending", "transaction.confirmed",
    "transaction.undelivered", "transaction.escalated", "transaction.warning", "receipt.captured",
    "settlement.completed", "terminal.connected", "terminal.disconnected", "terminal.degraded", "terminal.fault",
    "agent.started", "agent.stopped", "agent.fault", "agent.state", "state", "metrics",
  ];
  const PAUSE_MS = 250;
  const TICK_MS = 15000; // ages and stale states move on without any event
  const known = new Set();
  let source = null, asking = false, again = false, pauseMs = PAUSE_MS, timer = 0, announced = "";

  const say = (state) => {
    if (!sign) return;
    sign.dataset.state = state;
    sign.querySelector("span").textContent = sign.dataset[state];
  };

  const rows = (root) => root.querySelectorAll("[data-row]");

  // A row that was not there before is marked, and how long it took from the terminal's answer to here is measured.
  const mark = (root) => {
    for (const row of rows(root)) {
      const key = row.dataset.row + "|" + (row.dataset.answered || "");
      if (known.has(key)) continue;
      known.add(key);
      row.classList.add("new");
      const answered = Number(row.dataset.answered || 0);
      if (answered) show(Date.now() - answered);
    }
  };

  const show = (ms) => {
    const page = document.documentElement;
    page.dataset.latencies = [...(page.dataset.latencies || "").split(" ").filter(Boolean), ms].slice(-50).join(" ");
    const output = document.getElementById("latency");
    if (!output || ms < 0 || ms > 600000) return; // clocks apart, or an old payment that only arrived now
    output.hidden = false;
    output.querySelector("b").textContent = (ms / 1000).toFixed(2);
  };

  const announce = () => {
    const text = live()?.querySelector("[data-announce]")?.dataset.announce || "";
    if (text !== announced) document.getElementById("announcer").textContent = text;
    announced = text;
  };

  const counts = (html) => {
    for (const badge of document.querySelectorAll("[data-count]")) {
      const fresh = html.querySelector(`[data-count="${badge.dataset.count}"]`);
      if (fresh) {
        badge.textContent = fresh.textContent;
        badge.dataset.n = fresh.dataset.n;
      }
    }
  };

  const refresh = () => {
    timer = 0;
    if (!live() || !window.htmx) return;
    if (asking) { again = true; return; }
    asking = true;
    const began = performance.now();
    // Through htmx, so that focus, scroll position and its own events behave like everywhere else.
    htmx.ajax("GET", location.href, { source: live(), target: "#live", select: "#live", swap: "outerHTML" })
      .finally(() => {
        asking = false;
        pauseMs = Math.min(10000, Math.max(PAUSE_MS, 3 * (performance.now() - began)));
        if (again) { again = false; soon(); }
      });
  };

  const soon = () => { if (!timer) timer = setTimeout(refresh, last() ? pauseMs : 0); };
  let lastAsked = 0;
  const last = () => {
    const now = performance.now(), recently = now - lastAsked < pauseMs;
    lastAsked = now;
    return recently;
  };

  const open = () => {
    if (source || document.hidden) return;
    say("wait");
    source = new EventSource("/api/events");
    source.onopen = () => { say("on"); refresh(); };
    source.onerror = () => {
      say("lost");
      if (source.readyState === EventSource.CLOSED) { close(); setTimeout(open, 5000); }
    };
    for (const kind of KINDS) source.addEventListener(kind, soon);
  };
  const close = () => { source?.close(); source = null; };

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target?.id !== "live") return;
    if (event.detail.xhr.responseURL.includes("/login")) { location.reload(); return; } // the session has ended
    counts(new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html"));
  });
  document.addEventListener("htmx:afterSettle", () => { if (live()) { mark(live()); announce(); } });

  if (live()) {
    for (const row of rows(live())) known.add(row.dataset.row + "|" + (row.dataset.answered || ""));
    announced = live().querySelector("[data-announce]")?.dataset.announce || "";
    if (!document.body.hasAttribute("data-still")) {
      open();
      setInterval(() => { if (!document.hidden) refresh(); }, TICK_MS);
    }
  }
})();
