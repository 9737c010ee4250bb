// Elements, made and changed by hand. Text from the server is only ever text.

export const $ = (id) => document.getElementById(id);

/** Makes an element: properties, then children (elements or text). */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'class') element.className = value;
    else if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'dataset') Object.assign(element.dataset, value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Changes a text where it differs: what stays the same is not laid out again. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
