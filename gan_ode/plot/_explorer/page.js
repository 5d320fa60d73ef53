// The explorer's page: from sliders and a start that is dragged to what the figures show. `explore` gets what Python
// wrote (`setup`), the programs of each family, and the figures' models by name.

function explore(root, setup, families, model) {
  const state = {family: 0, start: setup.start.slice(), values: setup.values.slice(), rules: setup.rules.map((_, i) => i < 2)};
  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const show = (x, digits = 4) => (Number.isFinite(x) ? String(Number(x.toPrecision(digits))) : "none");
  // What rounding leaves of a zero.
  const tiny = (x, [low, high]) => (Math.abs(x) < 1e-12 * (high - low) ? 0 : x);
  const last = setup.values.length - 1;
  let known = null;
  // What the clock is drawn on: the flow, and the steps of each update that is shown.
  let followed = {flow: null, steps: []};

  const parameters = () => state.values.slice(0, last);
  const stepSize = () => state.values[last];
  const box = () => [[model.portrait.x_range.start, model.portrait.x_range.end], [model.portrait.y_range.start, model.portrait.y_range.end]];
  const programs = () => families[state.family];
  const set = (name, data) => {
    model[name].data = data;
  };

  // The plane: what depends on the parameters alone.
  function plane() {
    const p = parameters(), own = programs(), field = (y) => own.field([...y, ...p]), jacobian = (y) => own.jacobian([...y, ...p]);
    const equilibria = equilibriaWithin(field, jacobian, box()).map((y) => {
      const values = eigenvalues(jacobian(y));
      return {y, values, type: equilibriumType(values)};
    });
    known = {field, jacobian, equilibria};
    const lines = streamlines(field, box());
    set("streamlines", {xs: lines.map((line) => line.map(([x]) => x)), ys: lines.map((line) => line.map(([, y]) => y))});
    const heads = lines.map((line) => {
      const i = Math.floor(line.length / 2), [x, y] = line[i], [u, v] = [line[i][0] - line[i - 1][0], line[i][1] - line[i - 1][1]];
      const [w, h] = box().map(([low, high]) => high - low), inner = model.portrait;
      const across = (v / h) * (inner.inner_height || 1), along = (u / w) * (inner.inner_width || 1);
      return [x, y, Math.atan2(across, along) - Math.PI / 2];
    });
    set("heads", {x: heads.map((h) => h[0]), y: heads.map((h) => h[1]), angle: heads.map((h) => h[2])});
    const side = 56, at = ([low, high]) => Array.from({length: side + 1}, (_, i) => low + ((high - low) * i) / side);
    const [xs, ys] = box().map(at), values = xs.map((x) => ys.map((y) => field([x, y])));
    for (const [i, name] of [[0, "nullcline_0"], [1, "nullcline_1"]]) {
      const segments = zeroSegments(values.map((row) => row.map((v) => v[i])), xs, ys);
      set(name, {xs: segments.map(([p, q]) => [p[0], q[0]]), ys: segments.map(([p, q]) => [p[1], q[1]])});
    }
    const kinds = {stable: "circle", unstable: "circle", saddle: "x", center: "circle_dot", degenerate: "diamond"};
    set("equilibria", {
      x: equilibria.map(({y}) => y[0]), y: equilibria.map(({y}) => y[1]), type: equilibria.map(({type}) => type),
      marker: equilibria.map(({type}) => kinds[type.split(" ")[0]] || "diamond"),
      fill: equilibria.map(({type}) => (type.startsWith("stable") ? 1 : 0)),
    });
  }

  // The equilibrium that the words are about: the one nearest to the start.
  function nearest() {
    const distance = ({y}) => Math.hypot(y[0] - state.start[0], y[1] - state.start[1]);
    return known.equilibria.reduce((best, other) => (best === null || distance(other) < distance(best) ? other : best), null);
  }

  // What depends on the start and the step size too.
  function orbits() {
    const h = stepSize(), p = parameters(), target = nearest(), duration = setup.duration;
    const orbit = flow(known.field, state.start, duration), number = Math.min(setup.most, Math.round(duration / h));
    followed = {flow: orbit, steps: []};
    set("flow", {x: orbit.ys.map((y) => y[0]), y: orbit.ys.map((y) => y[1])});
    state.rules.forEach((shown, i) => {
      const steps = shown ? iterate(programs().updates[i], state.start, h, p, number).ys : [];
      followed.steps[i] = steps;
      set(`steps_${i}`, {x: steps.map((y) => y[0]), y: steps.map((y) => y[1])});
    });
    set("start", {x: [state.start[0]], y: [state.start[1]]});
    regions(target);
    words(target);
    clock.show();
    // The panels below follow a little later, so that the plane is not kept waiting while a slider moves.
    later ??= setTimeout(below, LATER);
  }

  const LATER = 60;
  let later = null;

  // Multipliers, and what changes over time.
  function below() {
    later = null;
    const h = stepSize(), p = parameters(), target = nearest(), {flow: orbit, steps} = followed;
    const away = (y) => (target ? Math.max(Math.hypot(y[0] - target.y[0], y[1] - target.y[1]), 1e-16) : NaN);
    const invariant = programs().invariant ? (y) => programs().invariant(y)[0] : null;
    set("flow_distance", {x: orbit.ts, y: orbit.ys.map(away)});
    if (model.invariant) model.invariant.visible = invariant !== null;
    if (invariant) {
      const values = orbit.ys.map(invariant);
      set("flow_invariant", {x: orbit.ts, y: values});
      model.invariant_title.text = `Invariant: the flow ${changes(values)}`;
    }
    state.rules.forEach((shown, i) => {
      const update = programs().updates[i], times = steps[i].map((_, k) => k * h);
      set(`distance_${i}`, {x: times, y: steps[i].map(away)});
      if (invariant) set(`invariant_${i}`, {x: times, y: steps[i].map(invariant)});
      const values = shown && target && update.jacobian ? multipliers(update, target.y, h, p) : [];
      set(`multipliers_${i}`, {x: values.map(([re]) => re), y: values.map(([, im]) => im)});
    });
    const growth = target ? target.values.map(([re, im]) => [Math.exp(h * re) * Math.cos(h * im), Math.exp(h * re) * Math.sin(h * im)]) : [];
    set("flow_multipliers", {x: growth.map((v) => v[0]), y: growth.map((v) => v[1])});
    root.dataset.below = String(Number(root.dataset.below || 0) + 1);
  }

  // Each rule's multipliers depend on h times an eigenvalue alone, or on more.
  const kinds = new Map(), drawn = new Map(), outlined = [];
  function kind(i) {
    const key = `${state.family},${i}`;
    if (!kinds.has(key)) kinds.set(key, kindOf(programs().updates[i]));
    return kinds.get(key);
  }

  // A rule's region of stability: {xs, ys, values}; null if the eigenvalues do not say what it is.
  function region(i, window, turn) {
    const own = programs().updates[i], {ofEigenvectors, ofStepSize} = kind(i), h = stepSize();
    if (ofEigenvectors && turn === null) return null;
    const key = JSON.stringify([state.family, i, window, ofEigenvectors ? turn : 0, ofStepSize ? h : 0]);
    if (!drawn.has(key)) {
      if (drawn.size > 60) drawn.clear();
      drawn.set(key, stabilityRegion(own, window, ofEigenvectors ? turn : QUARTER_TURN, h));
    }
    return drawn.get(key);
  }

  // h times the eigenvalues, and where each rule is stable.
  function regions(target) {
    const h = stepSize(), points = target ? target.values.map(([re, im]) => [h * re, h * im]) : [], around = windowAround(points);
    const turn = target ? turnOf(known.jacobian(target.y)) : null, unsaid = [];
    for (const [axis, [low, high]] of [["region_x", around[0]], ["region_y", around[1]]]) model[axis].setv({start: low, end: high});
    set("scaled_spectrum", {x: points.map(([x]) => x), y: points.map(([, y]) => y)});
    state.rules.forEach((shown, i) => {
      const found = shown && programs().updates[i].jacobian ? region(i, around, turn) : null;
      if (shown && found === null) unsaid.push(programs().updates[i].name);
      if (outlined[i] === found) return;
      outlined[i] = found;
      const segments = found ? zeroSegments(found.values.map((row) => row.map((v) => v - NEUTRAL)), found.xs, found.ys) : [];
      set(`region_${i}`, {xs: segments.map(([p, q]) => [p[0], q[0]]), ys: segments.map(([p, q]) => [p[1], q[1]])});
    });
    find("unsaid").textContent = unsaid.length ? `No region: ${unsaid.join(", ")}; more than one eigenvalue decides.` : "";
  }

  // Where the flow and the steps are at a time.
  function dots(time) {
    const points = [], {flow: orbit, steps} = followed, h = stepSize();
    const inner = orbit ? orbit.ts.findIndex((t) => t >= time) : -1;
    if (inner >= 0) {
      const k = Math.max(inner, 1), part = orbit.ts.length > 1 ? (time - orbit.ts[k - 1]) / (orbit.ts[k] - orbit.ts[k - 1]) : 0;
      const y = orbit.ts.length > 1 ? orbit.ys[k].map((x, j) => orbit.ys[k - 1][j] + part * (x - orbit.ys[k - 1][j])) : orbit.ys[0];
      points.push([...y, -1]);
    }
    steps.forEach((ys, i) => {
      const k = Math.floor(time / h + 1e-9);
      if (k < ys.length) points.push([...ys[k], i]);
    });
    set("now", {
      x: points.map((p) => p[0]), y: points.map((p) => p[1]), color: points.map((p) => (p[2] < 0 ? setup.flowColor : setup.colors[p[2]])),
    });
  }

  function words(target) {
    const h = stepSize(), p = parameters(), seen = fate(known.field, state.start, known.equilibria, 8 * setup.duration);
    const period = Number.isFinite(seen.period) ? `, period ${show(seen.period, 7)}` : "";
    find("verdict").textContent = `The flow from here: ${seen.word}${period}.`;
    find("verdict").dataset.word = seen.word;
    const rows = [];
    if (target) {
      const value = target.values[0], sign = value[1] < 0 ? "−" : "±";
      rows.push(["flow", `${show(value[0])}${value[1] ? ` ${sign} ${show(Math.abs(value[1]))} i` : ""}`, target.type, ""]);
      state.rules.forEach((shown, i) => {
        if (!shown) return;
        const update = programs().updates[i];
        if (!update.jacobian) {
          rows.push([update.name, "not shown", "it counts its steps", ""]);
          return;
        }
        const size = radius(multipliers(update, target.y, h, p));
        const critical = criticalStepSize(update, target.y, p, setup.ranges[last]);
        const word = !Number.isFinite(size) ? "undecided" : size < 1 - NEUTRAL ? "converges" : size > 1 + NEUTRAL ? "leaves" : "neither";
        const largest = critical === null ? `above ${show(setup.ranges[last][1])}` : critical === 0 ? `unstable at ${show(setup.ranges[last][0])}` : show(critical);
        rows.push([update.name, show(size, 6), word, largest]);
      });
    }
    find("table").replaceChildren(...rows.map((row) => {
      const line = document.createElement("tr");
      row.forEach((text, i) => {
        const cell = document.createElement(i ? "td" : "th");
        cell.textContent = text;
        line.append(cell);
      });
      return line;
    }));
    find("equilibrium").textContent = target
      ? `At the nearest equilibrium, (${target.y.map((x, i) => show(tiny(x, box()[i]))).join(", ")}):`
      : "No equilibrium in view.";
  }

  // Where the first chosen update is stable, over the first parameter and the step size.
  function map() {
    const rule = state.rules.findIndex((shown, i) => shown && programs().updates[i].jacobian), [low, high] = setup.ranges[0], [least, most] = setup.ranges[last];
    const across = setup.mapSize[0], up = setup.mapSize[1], image = new Float64Array(across * up).fill(NaN);
    model.map_title.text = rule < 0 ? "Choose an update" : `Growth, ${programs().updates[rule].name}`;
    let y = known.equilibria.length ? nearest().y : null;
    for (let i = 0; i < across && rule >= 0 && last > 0; i++) {
      const p = parameters();
      p[0] = low + ((high - low) * (i + 0.5)) / across;
      const own = programs(), from = y ?? state.start;
      const there = equilibriumNear((z) => own.field([...z, ...p]), (z) => own.jacobian([...z, ...p]), from, box());
      if (there === null) continue;
      for (let j = 0; j < up; j++) {
        const h = least * Math.pow(most / least, (j + 0.5) / up);
        const growth = radius(multipliers(own.updates[rule], there, h, p)) - 1;
        image[j * across + i] = Math.sign(growth) * Math.sqrt(Math.abs(growth));
      }
    }
    set("map", {image: [new (model.ndarray)(image, [up, across])], x: [low], y: [Math.log10(least)], dw: [high - low], dh: [Math.log10(most / least)]});
  }

  function cross() {
    set("cross", {x: [state.values[0]], y: [Math.log10(stepSize())]});
  }

  const clock = motion(root, find, setup.duration, dots);
  let waiting = {};
  const plan = (...what) => {
    for (const each of what) waiting[each] = true;
    if (waiting.planned) return;
    waiting.planned = true;
    requestAnimationFrame(() => {
      const now = waiting, began = performance.now();
      waiting = {};
      if (now.plane || known === null) plane();
      orbits();
      if (now.map) map();
      cross();
      root.dataset.milliseconds = String(performance.now() - began);
      root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1);
    });
  };

  // The controls.
  const toSlider = (i, value) => {
    const [low, high] = setup.ranges[i];
    return i === last ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  };
  const fromSlider = (i, part) => {
    const [low, high] = setup.ranges[i];
    return i === last ? low * Math.pow(high / low, part) : low + part * (high - low);
  };
  const sliders = setup.names.map((name, i) => {
    const input = find(`slider-${i}`);
    input.addEventListener("input", () => {
      state.values[i] = fromSlider(i, Number(input.value));
      label(i);
      plan(...(i === last ? [] : ["plane"]), ...(last > 1 || i === last ? ["map"] : []));
    });
    return input;
  });
  function label(i) {
    find(`value-${i}`).textContent = show(state.values[i], 3);
  }
  function place() {
    setup.names.forEach((_, i) => {
      sliders[i].value = String(toSlider(i, state.values[i]));
      label(i);
    });
  }
  setup.rules.forEach((_, i) => {
    const box = find(`rule-${i}`);
    box.checked = state.rules[i];
    box.addEventListener("change", () => {
      state.rules[i] = box.checked;
      plan("map");
    });
  });
  const menu = find("families");
  if (menu) menu.addEventListener("change", () => {
    state.family = Number(menu.value);
    plan("plane", "map");
  });
  setup.presets.forEach((preset, k) => {
    find(`preset-${k}`).addEventListener("click", () => choose(preset));
  });
  function choose({family, values, start}) {
    if (family !== undefined) state.family = family;
    if (menu) menu.value = String(state.family);
    if (values) values.forEach((value, i) => (state.values[i] = value ?? state.values[i]));
    if (start) state.start = start.slice();
    place();
    plan("plane", "map");
    clock.begin();
  }
  find("copy").addEventListener("click", async () => {
    const given = setup.names.slice(0, last).map((name, i) => `${name}=${state.values[i]}`).join(", ");
    const rules = setup.rules.filter((_, i) => state.rules[i]).map((rule) => `    ${JSON.stringify(rule)}: ${setup.code[rule] ?? rule},`);
    const text = [
      ...setup.preamble.split("\n"), `field = family${setup.families.length > 1 ? `[${JSON.stringify(setup.families[state.family])}]` : ""}(${given})`, `y0 = restore(jnp.array(${JSON.stringify(state.start)}))`,
      `step_size = ${stepSize()}`, "shown = {", ...rules, "}",
      `orbit = flow(field, y0, jnp.linspace(0.0, ${setup.duration}, 1001))`,
      `steps = {name: iterate(rule(step_size), field, y0, num_steps=round(${setup.duration} / step_size)) for name, rule in shown.items()}`,
    ].join("\n");
    root.dataset.copied = text;
    try {
      await navigator.clipboard.writeText(text);
      find("copy").textContent = "Copied";
    } catch {
      window.prompt("Python", text);
    }
    setTimeout(() => (find("copy").textContent = "Copy Python"), 1500);
  });
  find("save").addEventListener("click", async () => {
    const layer = model.view(model.portrait).export("svg");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await layer.to_blob());
    link.download = "portrait.svg";
    link.click();
  });

  model.on_move((x, y) => {
    state.start = [x, y];
    plan();
  });
  // A finger that begins near the start drags it; elsewhere it scrolls the page.
  find("plane").addEventListener("touchstart", (event) => {
    const {x_scale, y_scale} = model.view(model.portrait).frame, corner = find("plane").getBoundingClientRect(), touch = event.touches[0];
    const apart = [touch.clientX - corner.left - x_scale.compute(state.start[0]), touch.clientY - corner.top - y_scale.compute(state.start[1])];
    if (event.touches.length === 1 && Math.hypot(...apart) < 40) event.preventDefault();
  }, {passive: false});
  // The same by keys; with Shift in larger steps.
  const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1]};
  find("plane").addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (!arrow) return;
    event.preventDefault();
    const part = event.shiftKey ? 0.1 : 0.02;
    state.start = state.start.map((x, i) => x + arrow[i] * part * (box()[i][1] - box()[i][0]));
    plan();
  });
  model.on_map((x, y) => {
    const clamp = (i, value) => Math.min(Math.max(value, setup.ranges[i][0]), setup.ranges[i][1]);
    state.values[0] = clamp(0, x);
    state.values[last] = clamp(last, Math.pow(10, y));
    place();
    plan("plane");
  });

  // Dark and light, by what the reader's system says or the page around asks for.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    const asked = root.dataset.theme, night = asked ? asked === "dark" : dark.matches;
    root.classList.toggle("night", night);
    if (root.parentElement === document.body) document.body.style.background = night ? "#15191e" : "#ffffff";
    const ink = night ? "#d8dde4" : "#1a1a1a", faint = night ? "#5c6773" : "#7f8893", paper = night ? "#15191e" : "#ffffff";
    for (const figure of model.figures) {
      figure.background_fill_color = figure.border_fill_color = paper;
      figure.outline_line_color = faint;
      for (const axis of [...figure.below, ...figure.left]) {
        axis.axis_label_text_color = axis.major_label_text_color = ink;
        axis.axis_line_color = axis.major_tick_line_color = faint;
      }
      figure.title.text_color = ink;
      figure.styles = {"background-color": paper};
    }
    for (const glyph of model.inked) {
      if (glyph.line_color !== undefined) glyph.line_color = ink;
      if (glyph.fill_color !== undefined && glyph.fill_alpha !== undefined) glyph.fill_color = ink;
    }
  };
  dark.addEventListener("change", paint);
  paint();
  place();
  choose(setup.presets[0] ?? {});
  const iterateOf = (i, start, h, p, number = 100) => iterate(programs().updates[i], start, h, [p].flat(), number).ys;
  return {state, choose, plan, paint, box, clock, known: () => known, programs, iterateOf, figures: model.figures};
}
