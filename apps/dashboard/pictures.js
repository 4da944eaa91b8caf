// The drawings of the page: curves over time, and who holds which expert. Every text that comes from the feed
// becomes a text node or an attribute, never markup.
'use strict';

const SVG = 'http://www.w3.org/2000/svg';

// make('td', {class: 'num'}, 'text', child): an HTML element; draw() the same in SVG.
function make(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}
function draw(name, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}
function furnish(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

const whole = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const short = new Intl.NumberFormat('en', {maximumFractionDigits: 1, notation: 'compact'});

function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, '0')} min`;
}

// Round numbers from low to high, about `count` of them.
function ticks(low, high, count) {
  const rough = Math.max(high - low, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return multiples(low, high, power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10));
}
function time_ticks(low, high, count) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  return multiples(low, high, steps.find((step) => step * count >= high - low) ?? (high - low) / count);
}
function multiples(low, high, step) {
  const first = Math.ceil(low / step);
  const count = Math.max(Math.floor((high + 1e-9) / step) - first + 1, 0);
  return Array.from({length: count}, (_, i) => (first + i) * step);
}

const COLOURS = 8;
const LABEL_WIDTH = 74;

// series: [{name, values, colour, kind}]; values beside at_s, null where there is none. The pointer's place
// is kept over redrawings.
function curves(box, at_s, series, {height, digits, from_zero = false}) {
  const all = series.flatMap((one) => one.values.filter((value) => value !== null));
  if (at_s.length < 2 || all.length === 0) {
    box.replaceChildren(make('p', {class: 'soft'}, 'Nothing yet.'));
    return;
  }
  const width = Math.max(box.clientWidth, 260);
  const inner = {left: 50, right: width - LABEL_WIDTH, top: 8, bottom: height - 22};
  let low = from_zero ? 0 : all.reduce((a, b) => Math.min(a, b));
  let high = all.reduce((a, b) => Math.max(a, b));
  // Peers may say any number: around a large one that stays there must be room for others.
  const space = Math.max(0.05 * (high - low), 1e-3, 1e-9 * Math.max(Math.abs(low), Math.abs(high)));
  high += space;
  if (!from_zero) low -= space;
  const first = at_s[0];
  const span = Math.max(at_s[at_s.length - 1] - first, 1e-9);
  const x = (seconds) => inner.left + (seconds - first) / span * (inner.right - inner.left);
  const y = (value) => inner.bottom - (value - low) / (high - low) * (inner.bottom - inner.top);
  const svg =
      draw('svg', {width, height, role: 'img', 'aria-label': series.map((one) => one.name).join(', ')});
  for (const value of ticks(low, high, height / 45)) {
    svg.append(
        draw('path', {class: 'axis', d: `M${inner.left} ${y(value)}H${inner.right}`}),
        draw('text', {x: inner.left - 6, y: y(value) + 4, 'text-anchor': 'end'}, short.format(value)));
  }
  for (const seconds of time_ticks(first, first + span, width / 130)) {
    svg.append(draw('text', {x: x(seconds), y: height - 4, 'text-anchor': 'middle'}, duration(seconds)));
  }
  for (const one of series) svg.append(...curve(one, at_s, x, y, inner.bottom));
  svg.append(...end_labels(series, y, inner));
  box.replaceChildren(svg);
  follow_pointer(box, svg, at_s, series, x, inner, digits);
}

function curve(one, at_s, x, y, bottom) {
  let path = '';
  let open = false;
  at_s.forEach((seconds, i) => {
    const value = one.values[i];
    if (value !== null) path += `${open ? 'L' : 'M'}${x(seconds).toFixed(1)} ${y(value).toFixed(1)}`;
    open = value !== null;
  });
  const line = draw('path', {class: `curve ${one.kind ?? ''}`, d: path});
  if (one.colour !== undefined) line.style.stroke = `var(--c${one.colour % COLOURS})`;
  if (one.kind !== 'filled') return [line];
  const last = x(at_s[at_s.length - 1]);
  const under = draw('path', {class: 'under', d: `${path}L${last} ${bottom}L${x(at_s[0])} ${bottom}Z`});
  under.style.fill = line.style.stroke;
  return [under, line];
}

// Names at the right ends, pushed apart where they would lie on each other.
function end_labels(series, y, inner) {
  const labels = series.filter((one) => one.label)
                     .map((one) => {
                       const last = one.values.findLast((value) => value !== null);
                       return {one, at: last === undefined ? inner.bottom : y(last)};
                     })
                     .sort((a, b) => a.at - b.at);
  let free = inner.top + 4;
  return labels.map(({one, at}) => {
    const place = Math.max(at + 4, free);
    free = place + 13;
    const text = draw('text', {x: inner.right + 6, y: place}, one.label);
    text.style.fill = `var(--c${one.colour % COLOURS})`;
    return text;
  });
}

function follow_pointer(box, svg, at_s, series, x, inner, digits) {
  const cross = draw('path', {class: 'cross'});
  const tip = make('div', {class: 'tip', hidden: ''});
  svg.append(cross);
  box.append(tip);
  const show = () => {
    const pointer = box.pointer_x;
    tip.hidden = pointer === undefined;
    cross.setAttribute('d', '');
    if (tip.hidden) return;
    const nearest = at_s.reduce(
        (best, s, i) => (Math.abs(x(s) - pointer) < Math.abs(x(at_s[best]) - pointer) ? i : best), 0);
    cross.setAttribute('d', `M${x(at_s[nearest])} ${inner.top}V${inner.bottom}`);
    const lines = series.filter((one) => one.values[nearest] !== null)
                      .slice(0, 12)
                      .map((one) => `${one.name}  ${one.values[nearest].toFixed(digits)}`);
    tip.textContent = [duration(at_s[nearest]), ...lines].join('\n');
    const left = x(at_s[nearest]) < (inner.left + inner.right) / 2;
    tip.style.left = left ? `${x(at_s[nearest]) + 12}px` : '';
    tip.style.right = left ? '' : `${box.clientWidth - x(at_s[nearest]) + 12}px`;
  };
  box.onpointermove = (event) => {
    box.pointer_x = event.clientX - box.getBoundingClientRect().left;
    show();
  };
  box.onpointerleave = () => {
    box.pointer_x = undefined;
    show();
  };
  show();
}

const HOSTS_SHOWN = 48;
const EXPERTS_SHOWN = 1024;

// One layer: hosts down, experts across. Drawn anew only when who holds what has changed; else the cells take
// their new loads where they are.
function layer_grid(figure, layer) {
  const hosts = layer.hosts.slice(0, HOSTS_SHOWN);
  const columns = Math.min(layer.experts.length, EXPERTS_SHOWN);
  const key =
      JSON.stringify([hosts, columns, layer.copies.map((copy) => [copy.host, copy.expert, copy.leads])]);
  if (figure.drawn_as !== key) {
    figure.drawn_as = key;
    figure.cells = draw_layer(figure, layer, hosts, columns);
  }
  layer.copies.forEach((copy, i) => {
    const cell = figure.cells[i];
    if (cell === undefined) return;
    const share = layer.load_most > 0 ? copy.load / layer.load_most : 0;
    cell.style.opacity = 0.3 + 0.7 * share;
    cell.firstChild.textContent = copy_text(layer, copy);
  });
}

function copy_text(layer, copy) {
  const load = copy.load === null ? '' : `, ${whole.format(copy.load)} rows/s`;
  const role = copy.leads ? `leads, epoch ${copy.epoch}` : 'follows';
  return `layer ${layer.number}, expert ${copy.expert}\n${copy.host}: ${role}, version ${copy.version}${
      load}`;
}

function draw_layer(figure, layer, hosts, columns) {
  const side = columns <= 40 ? 16 : columns <= 128 ? 9 : 5;
  const pitch = side + (side > 8 ? 3 : 1);
  const left = 70;
  const top = 16;
  const svg = draw('svg', {
    width: left + columns * pitch,
    height: top + hosts.length * pitch + 2,
    role: 'img',
    'aria-label': `layer ${layer.number}: ${hosts.length} hosts, ${columns} experts`
  });
  const column_of = new Map(layer.experts.slice(0, columns).map((expert, i) => [expert, i]));
  const row_of = new Map(hosts.map((host, i) => [host, i]));
  const every = Math.ceil(26 / pitch);
  layer.experts.slice(0, columns).forEach((expert, i) => {
    if (i % every === 0) svg.append(draw('text', {x: left + i * pitch, y: 11}, expert));
    if (layer.leaderless.has(expert)) {
      svg.append(draw('rect', {class: 'hole', x: left + i * pitch, y: 13, width: side, height: 2}));
    }
  });
  hosts.forEach((host, i) => {
    svg.append(
        draw('text', {x: 0, y: top + i * pitch + side - 4}, host),
        draw('rect', {class: 'slot', x: left, y: top + i * pitch, width: columns * pitch, height: side}));
  });
  const cells = layer.copies.map((copy) => {
    const row = row_of.get(copy.host);
    const column = column_of.get(copy.expert);
    if (row === undefined || column === undefined) return undefined;
    const inset = copy.leads ? 0 : 1;
    return draw(
        'rect', {
          class: copy.leads ? 'cell leads' : 'cell follows',
          rx: side > 8 ? 3 : 0,
          x: left + column * pitch + inset,
          y: top + row * pitch + inset,
          width: side - 2 * inset,
          height: side - 2 * inset
        },
        draw('title'));
  });
  svg.append(...cells.filter((cell) => cell !== undefined));
  const more = layer.hosts.length - hosts.length;
  figure.replaceChildren(
      make('figcaption', {}, `layer ${layer.number}${more > 0 ? `, and ${more} more hosts` : ''}`), svg);
  return cells;
}
