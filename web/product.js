// One product: for those who were let in its page and the order, for everybody else the way to its line.
//
// The line has a page of its own (queue/wait.html). This page never joins and never takes a token: it shows what a place
// that was already let in holds.
import { ask, freshKey, logout, memory, onClock, now } from './shared/api.js';
import { count, duration, moment, money } from './shared/format.js';
import { explain, fill, text } from './shared/text.js';

const productId = Number(new URLSearchParams(location.search).get('id'));
const find = (id) => document.getElementById(id);
const pass = memory(`pass:${productId}`);
const placed = memory(`order:${productId}`);
const orderKey = memory(`key:${productId}`);
// An order in one of these states does not change any more.
const DONE = ['rejected', 'expired', 'cancelled', 'failed', 'paid', 'refunded'];
const IN_LINE = ['waiting', 'ready'];

let summary;
let pollTimer;
let orderTimer;

function say(message) {
  find('message').textContent = message ?? '';
}

function onlyWhen(id, isShown) {
  find(id).hidden = !isShown;
}

/** Runs what a person asked for: one at a time, its failure in plain words. */
async function act(button, what) {
  button.disabled = true;
  say('');
  try {
    await what();
  } catch (problem) {
    failed(problem);
  } finally {
    button.disabled = false;
  }
}

function failed(problem) {
  if (problem.status === 401) showVisitor();
  say(explain(problem));
}

/** Nobody is logged in, or not any more. */
function showVisitor() {
  clearTimeout(pollTimer);
  pass.clear();
  onlyWhen('login', true);
  onlyWhen('logout', false);
  for (const id of ['product', 'order']) onlyWhen(id, false);
  showLine('none');
}

function showLine(state) {
  onlyWhen('line', true);
  find('state').textContent = text(`line.${state}`);
  find('wait').textContent = text(IN_LINE.includes(state) ? 'line.look' : 'line.join');
  onlyWhen('wait', state !== 'admitted' && summary.state !== 'ended');
}

/** Asks for the place now, and again when the server says. */
async function poll() {
  clearTimeout(pollTimer);
  let pause = 5000;
  try {
    const place = await ask('GET', `/api/queue/${productId}`);
    pause = Math.max(1000, Date.parse(place.nextPollAt) - Date.parse(place.serverTime));
    onlyWhen('logout', true);
    showLine(place.state);
    if (place.token) {
      pass.write({ token: place.token, expiresAt: place.expiresAt });
      await showProduct();
    } else {
      pass.clear();
      onlyWhen('product', false);
    }
  } catch (problem) {
    if (problem.status === 401) return showVisitor();
    failed(problem);
    if (problem.retryAfterS) pause = problem.retryAfterS * 1000;
  }
  // A crowd that asks at the same moment is spread by up to a tenth.
  pollTimer = setTimeout(poll, pause * (1 + Math.random() / 10));
}

async function showProduct() {
  const right = pass.read();
  tick('right', right.expiresAt, (left) => text('buy.until', { left }));
  if (!find('product').hidden) return;
  const product = await ask('GET', `/api/products/${productId}`, { passes: [right.token] });
  find('description').textContent = product.description;
  find('stock').textContent = text('buy.stock', { count: count(product.stock) });
  const options = product.productOptions.map((option) => {
    const extra = option.optionPrice === 0 ? '' : ` (+${money(option.optionPrice)})`;
    const choice = document.createElement('option');
    choice.value = option.optionId;
    choice.textContent = `${option.optionName}: ${option.optionValue}${extra}`;
    return choice;
  });
  const form = find('buy');
  form.elements.optionId.replaceChildren(...options);
  onlyWhen('option-label', options.length > 0);
  form.elements.quantity.max = product.purchaseLimit;
  onlyWhen('product', true);
  if (!placed.read()) find('product').scrollIntoView();
}

async function order() {
  const form = find('buy').elements;
  const line = { productId, quantity: Number(form.quantity.value) };
  if (form.optionId.value) line.optionId = Number(form.optionId.value);
  // The key lives until the order is answered: a second try after a lost answer gives the same order.
  const body = JSON.stringify(line);
  const known = orderKey.read();
  const key = known?.body === body ? known.key : freshKey();
  orderKey.write({ key, body });
  const made = await ask('POST', '/api/orders', {
    body: { lines: [line] },
    key,
    passes: [pass.read().token],
  });
  orderKey.clear();
  placed.write({ orderId: made.orderId });
  await follow();
}

/** Shows the order and asks for it again until it does not change any more. */
async function follow() {
  clearTimeout(orderTimer);
  const known = placed.read();
  if (!known) return;
  try {
    const order = await ask('GET', `/api/orders/${known.orderId}`);
    onlyWhen('order', true);
    const reason = order.reason ? ` ${text(`refusal.${order.reason}`)}` : '';
    const state = text(`order.${order.state}`) + reason;
    if (find('order-state').textContent !== state) find('order-state').textContent = state;
    find('order-sum').textContent = money(order.totalPrice);
    onlyWhen('order-payment', order.state === 'reserved');
    const until = order.state === 'reserved' ? order.expiresAt : undefined;
    tick('order-timer', until, (left) => text('order.until', { left }));
    if (!DONE.includes(order.state)) orderTimer = setTimeout(follow, order.state === 'received' ? 1000 : 5000);
  } catch (problem) {
    if ([403, 404].includes(problem.status)) placed.clear();
    failed(problem);
  }
}

const ends = new Map();

/** Counts down to `end` by the server's clock; without an end the place is empty. */
function tick(id, end, words) {
  ends.set(id, { end: end ? Date.parse(end) : undefined, words });
  write(id);
}

function write(id) {
  const { end, words } = ends.get(id);
  const left = end === undefined ? 0 : end - now();
  find(id).textContent = left > 0 ? words(duration(left)) : '';
}

async function start() {
  fill();
  onClock(() => [...ends.keys()].forEach(write));
  summary = await ask('GET', `/api/products/${productId}/summary`);
  document.title = summary.productName;
  find('name').textContent = summary.productName;
  const window = `${moment(summary.saleStartTime)} – ${moment(summary.saleEndTime)}`;
  find('sale').textContent = `${money(summary.discountedPrice)} · ${text(`sale.${summary.state}`)} · ${window}`;

  find('wait').href = `/queue/${productId}/wait`;
  find('logout').addEventListener('click', (event) => {
    act(event.target, async () => {
      await logout();
      showVisitor();
    });
  });
  find('buy').addEventListener('submit', (event) => {
    event.preventDefault();
    act(event.submitter, order);
  });
  await poll();
  await follow();
}

start().catch(failed);
