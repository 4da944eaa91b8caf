// Looks at /feed every second and shows what it says. Reads only; docs/dashboard.md has the format.
'use strict';

const LOOK_EVERY_MS = 1000;
const LINES_NAMED = 8;  // trainers with a colour of their own; of more, their mean has one
const PEERS_SHOWN = 256;
const COPIES_MAX = 20000;  // of experts, over all layers

const at = (id) => document.getElementById(id);
const brief = (peer) => peer.slice(0, 8);
const sum = (list, of) => list.reduce((total, one) => total + (of(one) ?? 0), 0);
const percent = (part, all) =>
    (all > 0 ? `${(100 * part / all).toFixed(part / all < 0.0995 ? 2 : 1)} %` : '');
const some = (count, noun) => `${whole.format(count)} ${noun}${count === 1 ? '' : 's'}`;
const ROLES = ['host', 'trainer', 'server'];
const roles_of = (peer) => ROLES.filter((role) => peer.roles[role]);
// Rows a second in a byte: eighths of log2(1 + rows).
const rows_of_load = (load) => 2 ** (load / 8) - 1;

function show_facts(feed) {
  const peers = feed.peers;
  const trainers = peers.filter((peer) => peer.roles.trainer);
  const learning = trainers.filter((peer) => peer.loss > 0);
  const told = peers.filter((peer) => peer.numbers).map((peer) => peer.numbers);
  const held = (peer, leads) => sum(peer.held, (range) => (range.leads === leads ? range.count : 0));
  const mass = sum(told, (n) => n.gate_mass);
  const lost = sum(told, (n) => n.gate_mass_lost);
  const failures = sum(told, (n) => n.failures);
  const count = (role) => peers.filter((peer) => peer.roles[role]).length;
  const of = told.length < peers.length ? `of ${told.length} peers of ${peers.length}` : '';
  const facts = [
    ['peers', peers.length, ROLES.map((role) => some(count(role), role)).join(', ')],
    ['step', whole.format(Math.max(0, ...trainers.map((peer) => peer.step)))],
    ['mean loss', learning.length ? (sum(learning, (peer) => peer.loss) / learning.length).toFixed(3) : '–'],
    ['rows a second', whole.format(sum(trainers, (peer) => peer.rows_per_s)), 'of trainers'],
    [
      'experts', whole.format(sum(peers, (peer) => held(peer, true))),
      `led; ${whole.format(sum(peers, (peer) => held(peer, false)))} copies follow`
    ],
    ['calls', short.format(sum(told, (n) => n.calls_sent)), of],
    ['calls that failed', short.format(failures), of, failures > 0],
    ['hedges', short.format(sum(told, (n) => n.hedges)), of],
    ['gate weight lost', percent(lost, mass) || '–', of, lost > 0],
    [
      'answers', short.format(sum(told, (n) => n.answered)),
      `${short.format(sum(told, (n) => n.answers_failed))} failed`
    ],
  ];
  at('facts').replaceChildren(...facts.map(
      ([name, value, note, bad]) => make(
          'div', {}, make('dt', {}, name),
          make('dd', bad ? {class: 'bad'} : {}, value, ...(note ? [make('small', {}, note)] : [])))));
}

function show_curves(feed) {
  const {at_s, rows_per_s, losses} = feed.history;
  let series = losses.map(
      (one, i) =>
          (losses.length <= LINES_NAMED ?
               {name: brief(one.peer), label: brief(one.peer), values: one.loss, colour: i} :
               {name: brief(one.peer), values: one.loss, kind: 'many'}));
  if (losses.length > LINES_NAMED) series = [...series, mean_of(losses)].reverse();
  curves(at('losses'), at_s, series, {height: 240, digits: 3});
  curves(
      at('rows'), at_s, [{name: 'rows/s', values: rows_per_s, colour: 0, kind: 'filled'}],
      {height: 120, digits: 0, from_zero: true});
}

function mean_of(losses) {
  const values = losses[0].loss.map((_, i) => {
    const there = losses.map((one) => one.loss[i]).filter((loss) => loss !== null);
    return there.length ? sum(there, (loss) => loss) / there.length : null;
  });
  return {name: 'mean', label: 'mean', values, colour: 0, kind: 'mean'};
}

// By layer: its hosts, its experts, and every copy of one.
function layers_of(feed) {
  const layers = new Map();
  let copies = 0;
  for (const peer of feed.peers) {
    for (const range of peer.held) {
      if (!layers.has(range.layer)) {
        layers.set(
            range.layer,
            {number: range.layer, copies: [], hosts: new Set(), experts: new Set(), led: new Set()});
      }
      const layer = layers.get(range.layer);
      layer.hosts.add(brief(peer.peer));
      for (let i = 0; i < range.count && copies < COPIES_MAX; ++i, ++copies) {
        const expert = range.first + i;
        const load = range.loads.length === 0 ? null : range.loads[Math.min(i, range.loads.length - 1)];
        layer.experts.add(expert);
        if (range.leads) layer.led.add(expert);
        layer.copies.push({
          host: brief(peer.peer),
          expert,
          leads: range.leads,
          epoch: range.epoch,
          version: range.version,
          load: load === null ? null : rows_of_load(load)
        });
      }
    }
  }
  return [...layers.values()]
      .sort((a, b) => a.number - b.number)
      .map((layer) => ({
             ...layer,
             hosts: [...layer.hosts].sort(),
             experts: [...layer.experts].sort((a, b) => a - b),
             leaderless: new Set([...layer.experts].filter((expert) => !layer.led.has(expert))),
             load_most: layer.copies.reduce((most, copy) => Math.max(most, copy.load ?? 0), 0),
           }));
}

function show_experts(feed) {
  const layers = layers_of(feed);
  const grids = at('grids');
  while (grids.children.length > layers.length) grids.lastChild.remove();
  while (grids.children.length < layers.length) grids.append(make('figure'));
  layers.forEach((layer, i) => layer_grid(grids.children[i], layer));
  const holes = sum(layers, (layer) => layer.leaderless.size);
  const note = at('uncovered');
  note.textContent = layers.length === 0 ? 'Nobody holds any yet.' :
      holes > 0                          ? `without a leader: ${some(holes, 'expert')}` :
                                           '';
  note.className = holes > 0 ? 'bad' : '';
  if (at('experts').open) show_expert_table(layers);
}

function show_expert_table(layers) {
  const rows = layers.flatMap((layer) => layer.experts.slice(0, EXPERTS_SHOWN).map((expert) => {
    const copies = layer.copies.filter((copy) => copy.expert === expert);
    const leader = copies.find((copy) => copy.leads);
    const load = sum(copies, (copy) => copy.load);
    return [
      layer.number, expert, leader?.host ?? 'nobody', leader?.epoch ?? '', (leader ?? copies[0]).version,
      whole.format(load), copies.map((copy) => copy.host).join(' ')
    ];
  }));
  at('experts').lastElementChild.replaceChildren(
      table(['layer', 'expert', 'leader', 'epoch', 'version', 'rows/s', 'held by'], [0, 1, 3, 4, 5], rows));
}

function table(titles, numeric, rows) {
  const cell = (name, value, i) => make(name, numeric.includes(i) ? {class: 'num'} : {}, value ?? '');
  return make(
      'table', {}, make('thead', {}, make('tr', {}, ...titles.map((title, i) => cell('th', title, i)))),
      make(
          'tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map((value, i) => cell('td', value, i))))));
}

function load_cell(peer, most) {
  if (!peer.roles.host) return '';
  const width = most > 0 ? 54 * peer.load_us / most : 0;
  const bar = draw(
      'svg', {class: 'bar', viewBox: '0 0 54 8', 'aria-hidden': 'true'},
      draw('rect', {width: 54, height: 8, rx: 2}), draw('rect', {width, height: 8, rx: 2}));
  return make('span', {}, `${(peer.load_us / 1000).toFixed(1)} ms`, bar);
}

function health_cell(peer, seen_by) {
  if (peer.peer === seen_by) return make('span', {class: 'health here'}, 'this peer');
  if (peer.silent === undefined || (!peer.silent && !peer.numbers)) {
    return make('span', {class: 'health unasked'}, 'in the directory');
  }
  return make(
      'span', {class: `health ${peer.silent ? 'silent' : 'here'}`}, peer.silent ? 'silent' : 'answers');
}

function peer_row(peer, feed, load_most) {
  const n = peer.numbers;
  const led = sum(peer.held, (range) => (range.leads ? range.count : 0));
  const held = sum(peer.held, (range) => range.count);
  const roles = roles_of(peer).map((role) => make('span', {class: `role ${role}`}, role));
  const learns = peer.roles.trainer;
  return [
    make('span', {class: 'mono', title: peer.peer}, brief(peer.peer)),
    make('span', {}, ...(roles.length ? roles : [make('span', {class: 'role'}, 'looks on')])),
    health_cell(peer, feed.seen_by),
    make(
        'span', {class: 'mono'},
        peer.host.includes(':') ? `[${peer.host}]:${peer.port}` : `${peer.host}:${peer.port}`),
    n ? duration(n.uptime_s) : '',
    learns ? whole.format(peer.step) : '',
    learns && peer.loss > 0 ? peer.loss.toFixed(3) : '',
    roles.length ? whole.format(peer.rows_per_s) : '',
    peer.roles.host ? `${led} / ${held}` : '',
    load_cell(peer, load_most),
    n ? whole.format(n.calls) : '',
    n ? whole.format(n.failures) : '',
    n ? whole.format(n.hedges) : '',
    n ? percent(n.gate_mass_lost, n.gate_mass) : '',
  ];
}

function show_peers(feed) {
  const order = (peer) => [!peer.roles.host, !peer.roles.trainer, !peer.roles.server, peer.peer].join();
  const peers = [...feed.peers].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  const load_most = peers.reduce((most, peer) => Math.max(most, peer.load_us), 1000);
  const titles = [
    'peer', 'role', 'health', 'at', 'up', 'step', 'loss', 'rows/s', 'leads / holds', 'wait', 'calls',
    'failed', 'hedges', 'lost'
  ];
  const shown = peers.slice(0, PEERS_SHOWN);
  const more = peers.length - shown.length;
  at('peers').replaceChildren(
      table(titles, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13], shown.map((peer) => peer_row(peer, feed, load_most))),
      ...(more > 0 ? [make('p', {class: 'soft'}, `and ${more} more: see the feed`)] : []));
}

function show_events(feed) {
  at('events').replaceChildren(...feed.events.map(
      (event) => make(
          'li', {}, make('time', {}, `${duration(Math.max(0, feed.uptime_s - event.at_s))} ago`),
          make('span', {class: 'mono'}, event.peer || 'swarm'), make('span', {}, event.what))));
}

function show(feed) {
  document.title = `${feed.swarm} – Agora`;
  at('swarm').textContent = feed.swarm;
  at('who').textContent = `peer ${brief(feed.seen_by)}, up for ${duration(feed.uptime_s)},`;
  show_facts(feed);
  show_curves(feed);
  show_experts(feed);
  show_peers(feed);
  show_events(feed);
}

let answered_at = Date.now();

function notice(text) {
  at('notice').hidden = text === '';
  at('notice').textContent = text;
  document.body.classList.toggle('stale', text !== '');
}

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch('feed', {cache: 'no-store', signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    show(await answer.json());
    answered_at = Date.now();
    notice('');
  } catch (error) {
    const ago = Math.round((Date.now() - answered_at) / 1000);
    notice(`This peer does not answer (${error.message}); what is shown is ${ago} s old.`);
  }
}

async function keep_looking() {
  await look();
  setTimeout(keep_looking, LOOK_EVERY_MS);
}

at('experts').addEventListener('toggle', look);
document.addEventListener('visibilitychange', look);
keep_looking();
