"use strict";
// The page stands by itself; this keeps it up to date. It asks /live once a second, and
// for the page again when its version is another, and puts what differs in place.
(() => {
  const $ = (id) => document.getElementById(id);
  const asked = new URLSearchParams(location.search); // what the page is asked for
  let token = "";     // in this page's memory only
  let live = null;    // the last answer of /live
  let ahead = 0;      // the server's clock less this one's, in ms
  let heard = performance.now();
  let shown = "";     // the version in place
  let loading = false, again = false;
  const was = new Map(); // the parts as they came
  for (const part of document.querySelectorAll("[data-part]")) was.set(part, part.innerHTML);

  const headers = () => token ? { Authorization: "Bearer " + token } : {};
  const two = (n) => String(n).padStart(2, "0");
  const clock = (s) => two(Math.floor(s / 3600) % 24) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);

  function left(ms) {
    const s = Math.max(0, Math.ceil(ms / 1000)), days = Math.floor(s / 86400);
    const text = two(Math.floor(s / 3600) % 24) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
    return days ? days + " d " + text : s < 3600 ? text.slice(3) : text;
  }

  function set(el, text) { if (el.textContent !== text) el.textContent = text; }

  function tick() {
    if (!live) return;
    const now = performance.now() + ahead;
    set($("clock"), clock(Math.floor((now + live.zone * 1000) / 1000) % 86400));
    set($("left"), live.target ? left(live.target - now) : "");
    const silent = Math.round((performance.now() - heard) / 1000);
    $("lost").hidden = silent < 5;
    if (silent >= 5) set($("lost"), "The server has not answered for " + silent + " s: what is shown may be old.");
  }

  function show(before) {
    set($("until"), live.until);
    document.title = live.state + " · " + document.querySelector("h1").textContent;
    if (before && before.state !== live.state) {
      set($("said"), "The state is now: " + live.state);
      if (live.admin) tell("It is " + live.state + ".");
    }
    $("job").hidden = !live.job;
    if (live.admin && live.failed && !(before && before.failed)) tell("The draw came to nothing: " + live.failed, true);
    if (live.job) {
      set($("doing"), "The draw is being made: " + live.job.what + ", " + live.job.done.toLocaleString("en") + " of " + live.job.of.toLocaleString("en") + " entries");
      $("bar").value = live.job.of ? live.job.done / live.job.of : 0;
    }
    $("acts").disabled = !live.admin;
    tick();
  }

  async function poll() {
    const sent = performance.now();
    try {
      const answer = await fetch("/live", { headers: headers(), cache: "no-store" });
      if (!answer.ok) throw new Error(await answer.text());
      const before = live;
      live = await answer.json();
      heard = performance.now();
      ahead = live.now - (sent + heard) / 2;
      show(before);
      if (live.version !== shown) await load(live.version);
    } catch {
      tick(); // it says since when nothing was heard
    }
    setTimeout(poll, live && live.job ? 200 : 1000);
  }

  // load fetches the page and puts the parts that differ in place.
  async function load(version) {
    if (loading) { again = true; return; }
    loading = true;
    try {
      const answer = await fetch("/?" + asked, { headers: headers(), cache: "no-store" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-part]")) {
        const fresh = page.querySelector('[data-part="' + part.dataset.part + '"]');
        if (!fresh || fresh.innerHTML === was.get(part)) continue;
        const focus = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        const rolled = [...part.querySelectorAll(".tall")].map((e) => e.scrollTop);
        was.set(part, fresh.innerHTML);
        part.replaceChildren(...fresh.childNodes);
        part.querySelectorAll(".tall").forEach((e, i) => { e.scrollTop = rolled[i] || 0; });
        if (focus) part.querySelector('[href="' + CSS.escape(focus) + '"]')?.focus();
      }
      for (const id of ["find-shops", "quotas-of"]) $(id).hidden = page.getElementById(id).hidden;
      for (const b of document.querySelectorAll("[data-export]")) b.hidden = !token;
      shown = version || shown;
    } finally {
      loading = false;
    }
    if (again) { again = false; await load(); }
  }

  function ask(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === "") asked.delete(name); else asked.set(name, value);
    }
    history.replaceState(null, "", asked.size ? "/?" + asked : "/");
    return load();
  }

  function save(name, blob) {
    const a = document.createElement("a");
    a.href = URL.createObjectURL(blob);
    a.download = name;
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 60000);
  }

  function nameIn(answer) {
    const m = /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") || "");
    return m ? m[1] : "download";
  }

  function tell(text, bad) {
    $("outcome").classList.toggle("bad", !!bad);
    $("outcome").textContent = text.trim();
  }

  async function act(name, more) {
    tell("…");
    try {
      const answer = await fetch("/do/" + name, { method: "POST", headers: { ...headers(), "Content-Type": "application/json" },
        body: JSON.stringify({ who: $("who").value.trim(), ...more }) });
      if (!answer.ok) tell(await answer.text(), true);
      else if (answer.headers.has("Content-Disposition")) { save(nameIn(answer), await answer.blob()); tell("Exported."); }
      else tell(await answer.text());
    } catch (e) {
      tell("The server cannot be reached: " + e.message, true);
    }
  }

  // twice lets a button act at the second press only.
  function twice(button, what) {
    const text = button.textContent;
    let timer = 0;
    const calm = () => { clearTimeout(timer); timer = 0; button.textContent = text; button.classList.remove("sure"); };
    button.addEventListener("click", () => {
      if (timer) { calm(); what(); return; }
      button.textContent = button.dataset.sure;
      button.classList.add("sure");
      timer = setTimeout(calm, 8000);
    });
  }

  for (const [id, name] of [["ask", "entry"], ["find-shops", "shops"], ["find-lines", "lines"]]) {
    $(id).addEventListener("submit", (e) => { e.preventDefault(); ask({ [name]: $(name).value.trim() }); });
  }
  for (const name of ["shops", "lines"]) {
    let timer = 0;
    $(name).addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => ask({ [name]: $(name).value.trim() }), 250);
    });
  }

  document.addEventListener("click", async (e) => {
    const a = e.target.closest("a[data-ask], a[data-save], button[data-export]");
    if (!a || e.ctrlKey || e.metaKey || e.shiftKey) return;
    if (a.dataset.export !== undefined) {
      act("export", a.dataset.export === "all" ? {} : { shop: Number(a.dataset.export) });
    } else if (a.dataset.ask !== undefined) {
      e.preventDefault();
      const to = new URL(a.href), q = Object.fromEntries(to.searchParams);
      if (q.shop !== undefined && q.from === undefined) q.from = "";
      if (q.entry !== undefined) $("entry").value = q.entry;
      await ask(q);
      document.querySelector(to.hash)?.scrollIntoView({ block: "start" });
    } else if (token) { // a link carries no token
      e.preventDefault();
      const answer = await fetch(a.href, { headers: headers() });
      if (answer.ok) save(nameIn(answer), await answer.blob()); else tell(await answer.text(), true);
    }
  });

  $("desk").hidden = false;
  $("unlock").addEventListener("submit", async (e) => {
    e.preventDefault();
    token = $("token").value.trim();
    $("token").value = "";
    const answer = await fetch("/live", { headers: headers(), cache: "no-store" });
    if (!answer.ok) { token = ""; tell(await answer.text(), true); return; }
    live = await answer.json();
    tell("Unlocked, until this page is left.");
    show(null);
    await load();
    $("who").focus();
  });
  $("upload").addEventListener("change", async () => {
    const f = $("upload").files[0];
    if (f && f.size <= 65536) $("value").value = await f.text(); else if (f) tell("The file is larger than 64 KiB.", true);
  });
  twice($("do-draw"), () => act("draw", { beacon: $("value").value }));
  twice($("do-publish"), () => act("publish", {}));

  setInterval(tick, 100);
  poll();
})();
