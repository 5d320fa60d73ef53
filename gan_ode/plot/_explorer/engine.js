// What the explorer computes in the browser. Fields, Jacobians and updates are written out by Python; here are the
// numerical methods around them. Nothing here draws.

// To the nearest integer, halves to the even one.
function roundToEven(x) {
  const down = Math.floor(x), rest = x - down;
  if (rest !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

// The eigenvalues of a small real matrix, given by rows: each [real part, imaginary part]. Hessenberg form, then
// Francis's QR steps with two shifts. Source: Golub and Van Loan (2013), Matrix Computations, sections 7.4 and 7.5; the
// form is that of EISPACK's `hqr`.
function eigenvalues(matrix) {
  const n = Math.round(Math.sqrt(matrix.length));
  const a = Array.from({length: n}, (_, i) => Array.from(matrix.slice(i * n, i * n + n)));
  if (matrix.some((x) => !Number.isFinite(x))) return Array.from({length: n}, () => [NaN, NaN]);
  for (let m = 1; m < n - 1; m++) {
    let pivot = m;
    for (let i = m; i < n; i++) if (Math.abs(a[i][m - 1]) > Math.abs(a[pivot][m - 1])) pivot = i;
    const x = a[pivot][m - 1];
    if (pivot !== m) {
      for (let j = m - 1; j < n; j++) [a[pivot][j], a[m][j]] = [a[m][j], a[pivot][j]];
      for (let i = 0; i < n; i++) [a[i][pivot], a[i][m]] = [a[i][m], a[i][pivot]];
    }
    if (x === 0) continue;
    for (let i = m + 1; i < n; i++) {
      const y = a[i][m - 1] / x;
      if (y === 0) continue;
      for (let j = m; j < n; j++) a[i][j] -= y * a[m][j];
      for (let j = 0; j < n; j++) a[j][m] += y * a[j][i];
    }
  }
  for (let i = 2; i < n; i++) for (let j = 0; j < i - 1; j++) a[i][j] = 0;
  return hessenbergEigenvalues(a);
}

function hessenbergEigenvalues(a) {
  const n = a.length, found = new Array(n), norm = a.flat().reduce((sum, x) => sum + Math.abs(x), 0);
  let last = n - 1, shift = 0, rounds = 0;
  while (last >= 0) {
    let low = last;
    for (; low > 0; low--) {
      const size = Math.abs(a[low - 1][low - 1]) + Math.abs(a[low][low]);
      if (Math.abs(a[low][low - 1]) <= 2.3e-16 * (size === 0 ? norm : size)) {
        a[low][low - 1] = 0;
        break;
      }
    }
    let x = a[last][last];
    if (low === last) {
      found[last--] = [x + shift, 0];
      rounds = 0;
      continue;
    }
    let y = a[last - 1][last - 1], w = a[last][last - 1] * a[last - 1][last];
    if (low === last - 1) {
      const p = (y - x) / 2, q = p * p + w, root = Math.sqrt(Math.abs(q));
      x += shift;
      if (q >= 0) {
        const z = p + (p >= 0 ? root : -root);
        found[last - 1] = [x + z, 0];
        found[last] = [z === 0 ? x + z : x - w / z, 0];
      } else {
        found[last - 1] = [x + p, root];
        found[last] = [x + p, -root];
      }
      last -= 2;
      rounds = 0;
      continue;
    }
    if (rounds++ > 60) return Array.from({length: n}, () => [NaN, NaN]);
    if (rounds % 10 === 0) {
      shift += x;
      for (let i = 0; i <= last; i++) a[i][i] -= x;
      const size = Math.abs(a[last][last - 1]) + Math.abs(a[last - 1][last - 2]);
      x = y = 0.75 * size;
      w = -0.4375 * size * size;
    }
    francisStep(a, low, last, x, y, w);
  }
  return found;
}

function francisStep(a, low, last, x, y, w) {
  const n = a.length;
  let m = last - 2, p, q, r;
  for (; m >= low; m--) {
    const z = a[m][m], s = y - z, t = x - z;
    p = (t * s - w) / a[m + 1][m] + a[m][m + 1];
    q = a[m + 1][m + 1] - z - t - s;
    r = a[m + 2][m + 1];
    const size = Math.abs(p) + Math.abs(q) + Math.abs(r);
    p /= size, q /= size, r /= size;
    if (m === low) break;
    const beside = Math.abs(a[m][m - 1]) * (Math.abs(q) + Math.abs(r));
    const there = Math.abs(p) * (Math.abs(a[m - 1][m - 1]) + Math.abs(z) + Math.abs(a[m + 1][m + 1]));
    if (beside <= 2.3e-16 * there) break;
  }
  for (let i = m + 2; i <= last; i++) {
    a[i][i - 2] = 0;
    if (i > m + 2) a[i][i - 3] = 0;
  }
  for (let k = m; k < last; k++) {
    let size = 0;
    if (k !== m) {
      p = a[k][k - 1], q = a[k + 1][k - 1], r = k + 1 !== last ? a[k + 2][k - 1] : 0;
      size = Math.abs(p) + Math.abs(q) + Math.abs(r);
      if (size === 0) continue;
      p /= size, q /= size, r /= size;
    }
    const root = Math.sqrt(p * p + q * q + r * r), s = p >= 0 ? root : -root;
    if (s === 0) continue;
    if (k === m) {
      if (low !== m) a[k][k - 1] = -a[k][k - 1];
    } else a[k][k - 1] = -s * size;
    p += s;
    const u = p / s, v = q / s, z = r / s;
    q /= p, r /= p;
    for (let j = k; j < n; j++) {
      let sum = a[k][j] + q * a[k + 1][j];
      if (k + 1 !== last) {
        sum += r * a[k + 2][j];
        a[k + 2][j] -= sum * z;
      }
      a[k + 1][j] -= sum * v;
      a[k][j] -= sum * u;
    }
    for (let i = 0; i <= Math.min(last, k + 3); i++) {
      let sum = u * a[i][k] + v * a[i][k + 1];
      if (k + 1 !== last) {
        sum += z * a[i][k + 2];
        a[i][k + 2] -= sum * r;
      }
      a[i][k + 1] -= sum * q;
      a[i][k] -= sum;
    }
  }
}

// The flow from a start until a time, by Dormand and Prince's pair of orders 5 and 4. Ends early where it leaves all
// bounds. Returns {ts, ys, finite}.
const TABLEAU = [
  [1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
const ERROR = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

function flow(field, start, duration, {rtol = 1e-8, atol = 1e-10, far = 1e6, maxSteps = 20000} = {}) {
  let y = start.slice(), t = 0, k = field(y), h = Math.min(duration, 0.01 / (1e-9 + Math.hypot(...k)));
  const ts = [0], ys = [y];
  for (let step = 0; step < maxSteps && t < duration * (1 - 1e-12); step++) {
    h = Math.min(h, duration - t);
    const ks = [k];
    let next = y;
    for (const row of TABLEAU) {
      next = y.map((x, i) => x + h * row.reduce((sum, b, j) => sum + b * ks[j][i], 0));
      ks.push(field(next));
    }
    const parts = y.map((x, i) => {
      const error = h * ERROR.reduce((sum, b, j) => sum + b * ks[j][i], 0);
      return error / (atol + rtol * Math.max(Math.abs(x), Math.abs(next[i])));
    });
    const error = Math.sqrt(parts.reduce((sum, e) => sum + e * e, 0) / parts.length);
    if (!(error <= 1)) {
      h *= Number.isFinite(error) ? Math.max(0.2, 0.9 * Math.pow(error, -0.2)) : 0.2;
      if (h < 1e-14 * (1 + t)) return {ts, ys, finite: false};
      continue;
    }
    t += h;
    y = next;
    k = ks[6];
    ts.push(t);
    ys.push(y);
    if (!(Math.hypot(...y) < far)) return {ts, ys, finite: false};
    h *= Math.min(5, 0.9 * Math.pow(Math.max(error, 1e-10), -0.2));
  }
  return {ts, ys, finite: true};
}

// The steps of an update. Returns {ys, finite}; the orbit ends where it leaves all bounds.
function iterate(update, start, stepSize, parameters, numSteps, far = 1e6) {
  let y = start.slice(), memory = update.init([...y, stepSize, ...parameters]);
  const ys = [y];
  for (let step = 0; step < numSteps; step++) {
    const next = update.step([...y, stepSize, ...parameters, ...memory]);
    y = next.slice(0, start.length);
    memory = next.slice(start.length);
    ys.push(y);
    if (!(Math.hypot(...y) < far)) return {ys, finite: false};
  }
  return {ys, finite: true};
}

// A zero of the field near a start, by Newton's method with steps that are cut where they do not help; null if none.
function equilibriumNear(field, jacobian, start, box) {
  const width = box.map(([low, high]) => high - low);
  const size = (v) => Math.hypot(v[0] / width[0], v[1] / width[1]);
  let y = start.slice(), v = field(y);
  for (let round = 0; round < 40; round++) {
    const speed = Math.hypot(...v);
    if (speed === 0) break;
    const [a, b, c, d] = jacobian(y), det = a * d - b * c;
    const scale = Math.max(Math.abs(a), Math.abs(b), Math.abs(c), Math.abs(d));
    if (!(Math.abs(det) > 1e-12 * scale * scale)) return null;
    const step = [-(d * v[0] - b * v[1]) / det, -(a * v[1] - c * v[0]) / det];
    let cut = Math.min(1, 0.5 / size(step)), next, there;
    for (let trial = 0; trial < 12; trial++, cut /= 2) {
      next = [y[0] + cut * step[0], y[1] + cut * step[1]];
      there = field(next);
      if (Math.hypot(...there) < speed) break;
    }
    if (!(Math.hypot(...there) < speed)) {
      if (size(step) < 1e-9) break;
      return null;
    }
    y = next;
    v = there;
    if (size(step) < 1e-14) break;
    if (y.some((x, i) => x < box[i][0] - width[i] || x > box[i][1] + width[i])) return null;
  }
  const [a, b, c, d] = jacobian(y), slope = Math.max(Math.abs(a), Math.abs(b), Math.abs(c), Math.abs(d));
  return Math.hypot(...field(y)) <= 1e-9 * slope * Math.hypot(...width) ? y : null;
}

// All equilibria that a grid of starts leads to within a box.
function equilibriaWithin(field, jacobian, box, perSide = 7) {
  const found = [], near = box.map(([low, high]) => 1e-6 * (high - low));
  for (let i = 0; i < perSide; i++) {
    for (let j = 0; j < perSide; j++) {
      const part = [(i + 0.5) / perSide, (j + 0.5) / perSide];
      const y = equilibriumNear(field, jacobian, box.map(([low, high], k) => low + part[k] * (high - low)), box);
      if (y === null || y.some((x, k) => x < box[k][0] || x > box[k][1])) continue;
      if (!found.some((other) => other.every((x, k) => Math.abs(x - y[k]) < near[k]))) found.push(y);
    }
  }
  return found;
}

// The words of `gan_ode.analysis.equilibrium_type`, by the same rule.
function equilibriumType(values) {
  if (values.some(([re, im]) => !Number.isFinite(re) || !Number.isFinite(im))) return "unknown";
  const zero = 1.5e-8 * radius(values);
  if (values.some(([re, im]) => Math.hypot(re, im) <= zero)) return "degenerate";
  const turns = values.some(([, im]) => Math.abs(im) > zero);
  const decays = values.map(([re]) => re < -zero), grows = values.map(([re]) => re > zero);
  if (decays.every(Boolean)) return turns ? "stable focus" : "stable node";
  if (!grows.some(Boolean)) return "center";
  if (decays.some(Boolean)) return "saddle";
  return turns ? "unstable focus" : "unstable node";
}

// The multipliers of an update at a fixed point, in state and memory together.
function multipliers(update, y, stepSize, parameters) {
  const inputs = [...y, stepSize, ...parameters];
  return eigenvalues(update.jacobian([...inputs, ...update.init(inputs)]));
}

const radius = (values) => Math.max(...values.map(([re, im]) => Math.hypot(re, im)));

// What a radius may be above 1 by rounding, as in `gan_ode.analysis.critical_step_size`.
const NEUTRAL = 1e-9;

// The step size at which the radius leaves 1; 0 if it is larger from the smallest on, null if it stays in the range.
function criticalStepSize(update, y, parameters, [low, high]) {
  const stable = (h) => radius(multipliers(update, y, h, parameters)) <= 1 + NEUTRAL;
  if (!stable(low)) return 0;
  let last = low, next = null;
  for (let i = 1; i <= 60 && next === null; i++) {
    const h = low * Math.pow(high / low, i / 60);
    if (stable(h)) last = h;
    else next = h;
  }
  if (next === null) return null;
  for (let i = 0; i < 50; i++) {
    const middle = (last + next) / 2;
    if (stable(middle)) last = middle;
    else next = middle;
  }
  return last;
}

// Where a function of the plane is zero: segments [[x0, y0], [x1, y1]], by marching squares.
function zeroSegments(values, xs, ys) {
  const segments = [], between = (a, b, u, v) => a + ((b - a) * u) / (u - v);
  for (let i = 0; i + 1 < xs.length; i++) {
    for (let j = 0; j + 1 < ys.length; j++) {
      const corners = [values[i][j], values[i + 1][j], values[i + 1][j + 1], values[i][j + 1]];
      if (corners.some((v) => !Number.isFinite(v))) continue;
      const places = [[xs[i], ys[j]], [xs[i + 1], ys[j]], [xs[i + 1], ys[j + 1]], [xs[i], ys[j + 1]]], cut = [];
      for (let k = 0; k < 4; k++) {
        const u = corners[k], v = corners[(k + 1) % 4], p = places[k], q = places[(k + 1) % 4];
        if (u > 0 !== v > 0) cut.push([between(p[0], q[0], u, v), between(p[1], q[1], u, v)]);
      }
      for (let k = 0; k + 1 < cut.length; k += 2) segments.push([cut[k], cut[k + 1]]);
    }
  }
  return segments;
}

// Lines along the field, evenly spread: a new one starts where none is near, and ends where it comes near another.
function streamlines(field, box, cells = 22) {
  const taken = new Uint8Array(cells * cells), lines = [];
  const width = box.map(([low, high]) => high - low);
  const unit = (p) => {
    const v = field([box[0][0] + p[0] * width[0], box[1][0] + p[1] * width[1]]);
    const u = [v[0] / width[0], v[1] / width[1]], size = Math.hypot(...u);
    return size > 0 && Number.isFinite(size) ? [u[0] / size, u[1] / size] : null;
  };
  const cell = (p) => Math.min(cells - 1, Math.floor(p[0] * cells)) * cells + Math.min(cells - 1, Math.floor(p[1] * cells));
  const inside = (p) => p[0] >= 0 && p[0] <= 1 && p[1] >= 0 && p[1] <= 1;
  const follow = (start, sense, own) => {
    const points = [], step = 0.35 / cells;
    let p = start, current = cell(start);
    for (let count = 0; count < 260; count++) {
      const a = unit(p);
      if (a === null) break;
      const b = unit([p[0] + (sense * step * a[0]) / 2, p[1] + (sense * step * a[1]) / 2]);
      if (b === null) break;
      p = [p[0] + sense * step * b[0], p[1] + sense * step * b[1]];
      if (!inside(p)) break;
      const here = cell(p);
      if (here !== current) {
        if (taken[here]) break;
        taken[here] = 1;
        own.push(here);
        current = here;
      }
      points.push(p);
    }
    return points;
  };
  const order = [];
  for (let i = 0; i < cells; i++) for (let j = 0; j < cells; j++) order.push([i, j]);
  // From the border inward, as Matplotlib does: long lines come first.
  const depth = ([i, j]) => Math.min(i, j, cells - 1 - i, cells - 1 - j);
  order.sort((one, other) => depth(one) - depth(other));
  for (const [i, j] of order) {
    if (taken[i * cells + j]) continue;
    const start = [(i + 0.5) / cells, (j + 0.5) / cells], own = [i * cells + j];
    taken[i * cells + j] = 1;
    const line = [...follow(start, -1, own).reverse(), start, ...follow(start, 1, own)];
    if (line.length < 12) {
      for (const place of own) taken[place] = 0;
      continue;
    }
    lines.push(line.map((p) => [box[0][0] + p[0] * width[0], box[1][0] + p[1] * width[1]]));
  }
  return lines;
}

// Where a flow comes back to the line through its start that it crosses at a right angle: {time, along} with the place
// on that line, for each time that it crosses the line in the direction of the start.
function returns(field, start, orbit, most = 40) {
  const normal = field(start), size = Math.hypot(...normal), found = [];
  const height = (y) => (normal[0] * (y[0] - start[0]) + normal[1] * (y[1] - start[1])) / size;
  for (let i = 1; i < orbit.ys.length && found.length < most; i++) {
    let [under, over] = [height(orbit.ys[i - 1]), height(orbit.ys[i])];
    if (!(under < 0 && over >= 0)) continue;
    // By false position, with the end that stays given half its weight (Illinois), from the last point before the line.
    let low = 0, high = orbit.ts[i] - orbit.ts[i - 1], time = high, y = orbit.ys[i], side = 0;
    for (let round = 0; round < 40 && high - low > 1e-15 * (1 + orbit.ts[i]); round++) {
      time = (low * over - high * under) / (over - under);
      y = flow(field, orbit.ys[i - 1], time, {rtol: 1e-12, atol: 1e-14}).ys.at(-1);
      const there = height(y);
      if (Math.abs(there) < 1e-14 * (1 + Math.abs(start[0]) + Math.abs(start[1]))) break;
      if (there < 0) {
        [low, under] = [time, there];
        if (side === -1) over /= 2;
        side = -1;
      } else {
        [high, over] = [time, there];
        if (side === 1) under /= 2;
        side = 1;
      }
    }
    found.push({time: orbit.ts[i - 1] + time, along: (normal[0] * (y[1] - start[1]) - normal[1] * (y[0] - start[0])) / size});
  }
  return found;
}

// What the flow from a start does: {word, period}. The period is that of a cycle, else NaN.
function fate(field, start, equilibria, duration) {
  const velocity = Math.hypot(...field(start));
  if (!(velocity > 0)) return {word: velocity === 0 ? "rests" : "undecided", period: NaN};
  const orbit = flow(field, start, duration, {rtol: 1e-10, atol: 1e-12});
  if (!orbit.finite) return {word: "diverges", period: NaN};
  const [xs, ys] = [0, 1].map((i) => orbit.ys.map((y) => y[i])), width = (v) => Math.max(...v) - Math.min(...v);
  const size = Math.hypot(width(xs), width(ys)), last = orbit.ys.at(-1);
  const rest = equilibria.find(({y}) => Math.hypot(last[0] - y[0], last[1] - y[1]) < 1e-3 * size);
  if (rest !== undefined && rest.type.startsWith("stable")) return {word: "converges", period: NaN};
  const back = returns(field, start, orbit), close = 1e-7 * size;
  if (back.length < 2) return {word: "undecided", period: NaN};
  if (back.slice(0, 2).every(({along}) => Math.abs(along) < close)) return {word: "cycles", period: back[0].time};
  const moved = back.map(({along}, i) => along - (i ? back[i - 1].along : 0)), period = back.at(-1).time - back.at(-2).time;
  if (rest === undefined && moved.slice(-2).every((x) => Math.abs(x) < close)) return {word: "cycles in the end", period};
  // All returns on one side of the one before: a spiral.
  const ratios = moved.slice(1).map((x, i) => x / moved[i]);
  if (ratios.every((x) => x > 0 && x < 1)) return {word: "spirals in", period: NaN};
  if (ratios.every((x) => x > 1)) return {word: "spirals out", period: NaN};
  return {word: "undecided", period: NaN};
}
