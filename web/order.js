// Where the payment provider sends the shopper back to: confirms what was authorised, then follows the order.
import { ask } from './shared/api.js';
import { money } from './shared/format.js';
import { fill, text } from './shared/text.js';

const query = new URLSearchParams(location.search);
const order = `/api/orders/${encodeURIComponent(query.get('order') ?? '')}`;
const find = (id) => document.getElementById(id);

/** The payment's key is the idempotency key, so a reload never pays twice. */
async function confirm() {
  const paymentKey = query.get('paymentKey');
  if (query.get('payment') !== 'success' || !paymentKey) return;
  const body = { paymentKey, amount: Number(query.get('amount')) };
  await ask('POST', `${order}/payment`, { key: paymentKey.slice(0, 128), body });
}

async function follow() {
  const view = await ask('GET', order);
  find('state').textContent = text(`order.${view.state}`);
  find('sum').textContent = money(view.totalPrice);
  if (['received', 'paying'].includes(view.state)) setTimeout(() => follow().catch(failed), 2000);
}

function failed(problem) {
  find('message').textContent = problem.message;
}

fill();
confirm().catch(failed).then(follow).catch(failed);
