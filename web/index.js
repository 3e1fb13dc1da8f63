// The shop: what is on sale now, and what comes.
import { ask } from './shared/api.js';
import { moment, money } from './shared/format.js';
import { fill, text } from './shared/text.js';

const SIZE = 20;
const find = (id) => document.getElementById(id);

function card(product) {
  const link = document.createElement('a');
  link.href = `/product.html?id=${encodeURIComponent(product.productId)}`;
  const title = document.createElement('h2');
  title.textContent = product.productName;
  const price = document.createElement('p');
  price.className = 'price';
  price.textContent = money(product.discountedPrice);
  const when = document.createElement('p');
  when.textContent = `${text(`sale.${product.state}`)} · ${moment(product.saleStartTime)} – ${moment(product.saleEndTime)}`;
  const company = document.createElement('p');
  company.className = 'quiet';
  company.textContent = product.companyName;
  link.append(title, price, when, company);
  const item = document.createElement('li');
  item.append(link);
  return item;
}

async function show(page) {
  try {
    const { items, total } = await ask('GET', `/api/products?page=${page}&size=${SIZE}`);
    find('products').replaceChildren(...items.map(card));
    find('message').textContent = total === 0 ? text('shop.empty') : '';
    const pages = Math.max(1, Math.ceil(total / SIZE));
    find('pages').hidden = pages === 1;
    find('page').textContent = `${page} / ${pages}`;
    find('before').disabled = page <= 1;
    find('after').disabled = page >= pages;
    find('before').onclick = () => show(page - 1);
    find('after').onclick = () => show(page + 1);
  } catch (problem) {
    find('message').textContent = problem.message;
  }
}

fill();
await show(1);
