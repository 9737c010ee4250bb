// The gaps of the view in words, below the chart; and what else keeps the view from being whole. It never says more than is known.

import { $, make } from './dom.js';
import * as format from './format.js';
import { DAY } from './market.js';

/** Gaps that are listed; the chart shades all. */
const MOST = 6;

/** A gap in one line. */
export function gapLine(gap) {
  return `${format.things(gap.count, 'trade')} missing: ${format.ids(gap.first, gap.last)}, ${format.range(gap.from, gap.to)}${gap.reason ? ` · ${gap.reason}` : ''}`;
}

/** Says what keeps a view from being whole beside its gaps, and whether what is missing in it is known at all. */
function shortcomings({ view: { from, to }, first, end, isOver, dates, days }) {
  if (dates.length === 0 || to <= first || from >= end) return { said: ['Nothing is stored of this range.'], isKnown: false };
  const said = [];
  let isKnown = true;
  const doubt = (words) => {
    said.push(words);
    isKnown = false;
  };
  if (from < first) said.push(`The tape begins at ${format.moment(first, 3)}: nothing shows what was before.`);
  if (to > end && isOver) said.push(`It ends at ${format.moment(end, 3)}: nothing shows what came after.`);
  const inView = dates.filter((date) => Date.parse(date) < to && Date.parse(date) + DAY > from);
  if (inView.some((date) => !days.has(date))) doubt('What is missing is being read.');
  for (const date of inView) {
    const day = days.get(date)?.day;
    const why = day && day.reasons.length > 0 ? `: ${day.reasons.join('; ')}` : '';
    if (day?.isArchived) said.push(`${date} is archived: its records are not here until coltape restore brings them back.`);
    if (day?.verdict === 'unverifiable') doubt(`${date} cannot be verified${why}.`);
    if (day?.verdict === 'open' && day.gaps.length === 0) doubt(`${date} is open${why}.`);
    for (const gap of day?.gaps.filter(({ from: begun }) => !Number.isFinite(begun)) ?? []) {
      doubt(`${format.things(gap.count, 'trade')} of ${date} missing at a time that is not known: ${format.ids(gap.first, gap.last)}${gap.reason ? ` · ${gap.reason}` : ''}.`);
    }
  }
  return { said, isKnown };
}

export class GapList {
  /** `chosen(gap)` is told which gap a person wants to see. */
  constructor(chosen) {
    this.chosen = chosen;
    this.place = $('gaps');
    this.signature = null;
  }

  /** Shows the gaps of the view; `state` says what is known of it. */
  set(gaps, state) {
    const { said, isKnown } = shortcomings(state);
    const signature = JSON.stringify([gaps.slice(0, MOST), gaps.length, said]);
    if (signature === this.signature) return;
    this.signature = signature;
    const notes = said.map((words) => make('p', { class: 'no-gap' }, words));
    if (gaps.length === 0) {
      this.place.replaceChildren(...(isKnown ? [make('p', { class: 'no-gap' }, 'No trade is known to be missing here.')] : []), ...notes);
      return;
    }
    const all = gaps.reduce((sum, gap) => sum + gap.count, 0);
    const words = `${format.things(all, 'trade')} missing in ${format.things(gaps.length, 'gap')} of this range${gaps.length > MOST ? `; the first ${MOST}:` : ':'}`;
    const buttons = gaps.slice(0, MOST).map((gap) => make('button', { type: 'button', class: 'gap', title: 'Show this gap', onclick: () => this.chosen(gap) }, gapLine(gap)));
    this.place.replaceChildren(make('p', { class: 'gap-count' }, words), ...buttons, ...notes);
  }
}
