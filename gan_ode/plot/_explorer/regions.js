// Where an update is stable in the plane of step size times eigenvalue, and what a quantity does along a flow. Nothing here
// draws.

// The turn K, with K^2 = -1, of which a matrix with complex eigenvalues x ± i y is x + y K; null where they are real.
function turnOf([a, b, c, d]) {
  const half = (a - d) / 2, square = -b * c - half * half;
  if (!(square > 1e-24 * (a * a + b * b + c * c + d * d))) return null;
  const y = Math.sqrt(square);
  return [half / y, b / y, c / y, -half / y];
}

const QUARTER_TURN = [0, -1, 1, 0];

// The largest modulus of an update's multipliers at rest in a linear field. The field's Jacobian is that matrix x + y K
// over the step size, so that h times its eigenvalues are x ± i y.
function linearRadius(update, [x, y], turn, stepSize) {
  const matrix = turn.map((k, i) => (y * k + (i === 0 || i === 3 ? x : 0)) / stepSize);
  return radius(eigenvalues(update.linear([...matrix, stepSize])));
}

// What of an update's stability depends on more than h times an eigenvalue, by a look at a few of these: on the
// eigenvectors, as where players step one after the other, or on the step size itself.
function kindOf(update) {
  const places = [[-0.6, 0.4], [-0.2, 1.1], [0.3, 0.7], [-1.4, 0.9]], other = [0.7, -3.725, 0.4, -0.7];
  const at = (turn, h) => places.map((z) => linearRadius(update, z, turn, h)), same = (one, two) => one.every((x, i) => Math.abs(x - two[i]) < 1e-9);
  const usual = at(QUARTER_TURN, 0.1);
  return {ofEigenvectors: !same(usual, at(other, 0.1)), ofStepSize: !same(usual, at(QUARTER_TURN, 0.7))};
}

// Radius minus 1 over a window [[x0, x1], [y0, y1]] that is symmetric in y: {xs, ys, values[i][j]}. The eigenvalues come
// in pairs, so that one half is the mirror image of the other.
function stabilityRegion(update, window, turn, stepSize, cells = 40) {
  const [xs, ys] = window.map(([low, high]) => Array.from({length: cells + 1}, (_, i) => low + ((high - low) * i) / cells));
  const values = xs.map((x) => {
    const column = new Array(cells + 1);
    for (let j = 0; j <= cells / 2; j++) column[j] = column[cells - j] = linearRadius(update, [x, ys[j]], turn, stepSize) - 1;
    return column;
  });
  return {xs, ys, values};
}

// A window of equal sides that holds all points, and the unit disc to the left of zero. The axes lie between two lines of
// the grid: where all multipliers have modulus 1 on an axis, rounding would be drawn.
function windowAround(points) {
  const far = Math.max(1, ...points.flatMap(([x, y]) => [-x / 1.5, x / 0.35, Math.abs(y) / 0.95]).filter(Number.isFinite));
  const size = 1.6 * Math.pow(2, Math.ceil(Math.log2(Math.max(1, far / 1.6))));
  return [[-1.575 * size, 0.425 * size], [-size, size]];
}

// What a flow does to a quantity, in words.
function changes(values) {
  const size = 1e-6 * (1 + Math.max(...values.map(Math.abs)));
  if (values.every((x) => Math.abs(x - values[0]) < size)) return "keeps it";
  return values.every((x, k) => k === 0 || x < values[k - 1] + 1e-3 * size) ? "lets it fall" : "does not keep it";
}
