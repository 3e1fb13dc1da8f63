let doc = document, url = '/api' + location.pathname.slice(0, -5),
	left = t => new Date(t) - Date.now() - skew,
	at = (f, ms) => (clearTimeout(id), id = setTimeout(f, ms)), p = {}, sse, said, skew = 0, id, six;

function show(a, ms) {
	if (a.serverTime < p.serverTime) return;
	skew += left((p = a).serverTime);
	p.after = p.total - p.rank;
	p.low = p.etaLowS / 60 | 0;
	p.high = Math.ceil(p.etaHighS / 60) || '';
	bar.value = 1 - p.ahead / (name = Math.max(p.rank, name) || p.rank) || 0;
	tick();
	at(open, ms ?? left(p.nextPollAt));
	if (p.state == 'ready') tone.play().catch(tick), doc.hidden || ask('POST', '/token');
	if (p.state == 'admitted') at(() => location = '/product.html?id=' + p.productId, 2e3);
}

function tick() {
	let ms = left(p.startsAt ?? p.claimUntil);
	p.left = ms > 0 ? (ms / 36e5 | 0) + new Date(ms).toISOString().slice(13, 19) : '';
	for (let b of doc.querySelectorAll('b')) b.innerText = p[b.id]?.toLocaleString() ?? '';
	if (said != (said = [doc.body.className = `${p.state} ${p.reason} ${p.code} ${six}`, p.message, Math.log2(p.rank) >> 1, Math.log2(ms) >> 1] + '')) say.innerText = card.innerText;
	doc.title = head.innerText;
}

async function ask(method, path = '', last) {
	let a = await fetch(url + path, { method, headers: { 'Idempotency-Key': p.serverTime } }).then(r => r.status == 204 || r.json()).catch(() => ({ code: 'offline' }));
	if (!a.code) return a.state ? show(a) : ask();
	if (a.status != 401) at(open, 9e3 * Math.random());
	else if (!last) return ask('POST', '/../../auth/refresh', 1);
	p.code = a.code;
}

function open() {
	sse?.close();
	if (six) return ask();
	sse = new EventSource(url + '/live');
	sse.addEventListener('place', e => show(JSON.parse(e.data), 6e4));
	sse.addEventListener('superseded', e => open(six = e.type));
	sse.onerror = () => at(ask, 5e3 * Math.random());
	at(ask, 5e3);
}
doc.body.lang = navigator.language;
onclick = ({ target: t }) => t.value && ask(t.value);
doc.onvisibilitychange = onoffline = ononline = () => doc.hidden || ask();
open(setInterval(tick, 1e3));
