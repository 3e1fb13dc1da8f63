// Numbers, money and time as the reader writes them. Money is whole won.
import { language } from './text.js';

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
