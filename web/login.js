// Logs in and goes back to the page of this shop that led here.
import { login } from './shared/api.js';
import { explain, fill } from './shared/text.js';

const from = URL.parse(document.referrer);
const back = from?.origin === location.origin && from.pathname !== location.pathname ? from : '/';

fill();
document.getElementById('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { loginId, password } = event.target.elements;
  event.submitter.disabled = true;
  try {
    await login(loginId.value, password.value);
    location.replace(back);
  } catch (problem) {
    document.getElementById('message').textContent = explain(problem);
    event.submitter.disabled = false;
  }
});
