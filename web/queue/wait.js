const doc = document, url = '/api' + location.pathname.slice(0, -5),
	left = (t) => Date.parse(t) - Date.now() - skew,
	at = (f, ms) => (clearTimeout(id), id = setTimeout(f, ms));
let p = {}, live, said, skew = 0, id, six;

function show(a, ms) {
	if (a.serverTime < p.serverTime) return;
	p = a;
	skew += left(p.serverTime);
	p.after = p.total - p.rank;
	p.low = p.etaLowS / 60 | 0;
	p.high = Math.ceil(p.etaHighS / 60) || '';
	bar.value = 1 - p.ahead / (name = Math.max(p.rank, name) || p.rank) || 0;
	tick();
	at(open, ms ?? left(p.nextPollAt));
	if (p.state == 'ready') tone.play().catch(tick), doc.hidden || ask('POST', '/token');
	if (p.state == 'admitted') at(() => location = '/product.html?id=' + p.productId, 1500);
}

function tick() {
	const ms = left(p.startsAt ?? p.claimUntil);
	p.left = ms > 0 ? (ms / 36e5 | 0) + new Date(ms).toISOString().slice(13, 19) : '';
	for (const b of doc.querySelectorAll('b')) b.innerText = p[b.id]?.toLocaleString() ?? '';
	const css = doc.body.className = `${p.state} ${p.reason} ${p.code} ${six}`;
	doc.title = head.innerText;
	if (said != (said = [css, p.message, Math.log2(p.rank) >> 1, Math.log2(ms) >> 1] + '')) say.innerText = card.innerText;
}

async function ask(method, path = '') {
	const a = await fetch(url + path, { method, headers: { 'Idempotency-Key': p.serverTime } })
		.then((r) => r.status == 204 || r.json()).catch(() => ({ code: 'offline' }));
	if (!a.code) return a.state ? show(a) : ask();
	p.code = a.code;
	live.close();
	a.status == 401 || at(open, 9e3 * Math.random());
}

function open() {
	live?.close();
	if (six) return ask();
	live = new EventSource(url + '/live');
	live.addEventListener('place', (e) => show(JSON.parse(e.data), 6e4));
	live.addEventListener('superseded', (e) => open(six = e.type));
	live.onerror = () => at(ask, 5e3 * Math.random());
	at(ask, 5e3);
}

doc.body.lang = navigator.language;
onclick = ({ target: t }) => t.value && ask(t.value);
doc.onvisibilitychange = onoffline = ononline = () => doc.hidden || ask();
setInterval(tick, 1e3);
open();
