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
    set("flow", {x: orbit.ys.map((y) => y[0]), y: orbit.ys.map((y) => y[1])});
    const away = (y) => (target ? Math.max(Math.hypot(y[0] - target.y[0], y[1] - target.y[1]), 1e-16) : NaN);
    set("flow_distance", {x: orbit.ts, y: orbit.ys.map(away)});
    state.rules.forEach((shown, i) => {
      const steps = shown ? iterate(programs().updates[i], state.start, h, p, number).ys : [];
      set(`steps_${i}`, {x: steps.map((y) => y[0]), y: steps.map((y) => y[1])});
      set(`distance_${i}`, {x: steps.map((_, k) => k * h), y: steps.map(away)});
      const values = shown && target && programs().updates[i].jacobian ? multipliers(programs().updates[i], target.y, h, p) : [];
      set(`multipliers_${i}`, {x: values.map(([re]) => re), y: values.map(([, im]) => im)});
    });
    const growth = target ? target.values.map(([re, im]) => [Math.exp(h * re) * Math.cos(h * im), Math.exp(h * re) * Math.sin(h * im)]) : [];
    set("flow_multipliers", {x: growth.map((v) => v[0]), y: growth.map((v) => v[1])});
    set("start", {x: [state.start[0]], y: [state.start[1]]});
    words(target);
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
        const largest = critical === null ? `above ${show(setup.ranges[last][1])}` : critical === 0 ? `none from ${show(setup.ranges[last][0])} on` : show(critical);
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
    const ink = night ? "#d8dde4" : "#1a1a1a", faint = night ? "#5c6773" : "#7f8893", paper = night ? "#15191e" : "#ffffff";
    for (const figure of model.figures) {
      figure.background_fill_color = figure.border_fill_color = paper;
      figure.outline_line_color = faint;
      for (const axis of [...figure.below, ...figure.left]) {
        axis.axis_label_text_color = axis.major_label_text_color = ink;
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = faint;
      }
      for (const title of figure.above) if (title.text_color !== undefined) title.text_color = ink;
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
  const iterateOf = (i, start, h, ...p) => iterate(programs().updates[i], start, h, p, 100).ys;
  return {state, choose, plan, paint, box, known: () => known, programs, iterateOf};
}
