// Numbers, money and time as the reader writes them. Money is whole won.
import { language, text } from './text.js';

const counts = new Intl.NumberFormat(language);
const won = new Intl.NumberFormat(language, { style: 'currency', currency: 'KRW' });
const moments = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' });

export const count = (number) => counts.format(number);
export const money = (amount) => won.format(amount);
export const moment = (time) => moments.format(new Date(time));

/** Milliseconds as `1:05` or `2:01:05`. */
export function duration(ms) {
  const all = Math.ceil(ms / 1000);
  const two = (number) => String(number).padStart(2, '0');
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** A wait between two bounds in seconds, rounded to what a person can use. */
export function waitRange(lowS, highS) {
  if (lowS === undefined || highS === undefined) return text('wait.unknown');
  const [low, high] = [Math.floor(lowS / 60), Math.ceil(highS / 60)];
  if (high <= 1) return text('wait.soon');
  return low === high ? text('wait.about', { high: count(high) }) : text('wait.range', { low: count(low), high: count(high) });
}
