// A clock that runs once through the orbits: a dot on the flow, and on each update the step of the same time. It starts by
// itself where the reader's system does not ask for less motion, and rests while the page is out of sight.

function motion(root, find, duration, draw) {
  const PASS = 9000, FRAME = 33, button = find("play"), slider = find("time"), less = matchMedia("(prefers-reduced-motion: reduce)");
  let time = 0, running = false, before = null, inSight = true;

  function show() {
    slider.value = String(time / duration);
    find("clock").textContent = time.toFixed(1);
    draw(time);
  }
  function frame(now) {
    if (!running) return;
    if (before === null) before = now;
    if (now - before >= FRAME) {
      if (inSight && !document.hidden) time = Math.min(duration, time + (duration * Math.min(now - before, 250)) / PASS);
      before = now;
      show();
      if (time >= duration) return stop();
    }
    requestAnimationFrame(frame);
  }
  function start() {
    if (running) return;
    if (time >= duration) time = 0;
    running = true;
    before = null;
    button.textContent = "Pause";
    requestAnimationFrame(frame);
  }
  function stop() {
    running = false;
    button.textContent = "Play";
  }
  button.addEventListener("click", () => (running ? stop() : start()));
  slider.addEventListener("input", () => {
    stop();
    time = Number(slider.value) * duration;
    show();
  });
  new IntersectionObserver((seen) => (inSight = seen.at(-1).isIntersecting)).observe(root);
  return {
    show,
    time: () => time,
    running: () => running,
    // From the beginning, by itself.
    begin() {
      time = 0;
      if (!less.matches) start();
      else stop();
    },
  };
}
