(function () {
"use strict";
${engine}
${regions}
${motion}
${page}
const families = [${families}];
const setup = ${setup}, ids = ${ids};

// Bokeh makes its models when the page is ready.
function begin() {
  const root = document.getElementById($identity);
  const documents = globalThis.Bokeh ? Bokeh.documents : [];
  const byId = (id) => {
    for (const each of documents) {
      const model = each.get_model_by_id(id);
      if (model) return model;
    }
    return null;
  };
  const figures = $figures.map(byId);
  const views = figures.map((figure) => figure && Object.values(Bokeh.index).map((view) => found(view, figure)).find(Boolean));
  if (figures.some((each) => !each) || views.some((each) => !each)) {
    setTimeout(begin, 20);
    return;
  }
  const model = {figures, portrait: figures[0], inked: $inked.map(byId), view: (figure) => views[figures.indexOf(figure)]};
  for (const [name, id] of Object.entries(ids)) model[name] = byId(id);
  model.ndarray = function (values, shape) {
    return Bokeh.require("core/util/ndarray").ndarray(values, {dtype: "float64", shape});
  };
  model.on_move = (act) => {
    const events = figures[0];
    for (const kind of ["tap", "pan", "panstart"]) events.on_event(kind, (event) => act(event.x, event.y));
  };
  model.on_map = (act) => {
    for (const kind of ["tap", "pan"]) figures[2].on_event(kind, (event) => act(event.x, event.y));
  };
  root.explorer = explore(root, setup, families, model);
  globalThis.ganOdeExplorer = root.explorer;
  fitFrame(root);
}

// In a frame of the same origin, as in the documentation and in notebooks, the frame takes the page's height and theme.
function fitFrame(root) {
  let frame = null;
  try {
    frame = globalThis.frameElement;
  } catch {
    return;
  }
  if (!frame) return;
  const fit = () => (frame.style.height = `$${root.offsetHeight + 4}px`);
  new ResizeObserver(fit).observe(root);
  const around = frame.ownerDocument.body, scheme = () => around.dataset.mdColorScheme;
  if (scheme() === undefined) return;
  const follow = () => {
    root.dataset.theme = scheme() === "slate" ? "dark" : "light";
    root.explorer.paint();
  };
  new MutationObserver(follow).observe(around, {attributes: true, attributeFilter: ["data-md-color-scheme"]});
  follow();
}

function found(view, model) {
  if (view.model === model) return view;
  for (const child of view.child_views || []) {
    const inner = found(child, model);
    if (inner) return inner;
  }
  return null;
}

begin();
})();
