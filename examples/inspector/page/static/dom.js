// Elements, by name and from parts. Strings become text nodes, never markup.

export const byId = id => document.getElementById(id);

// el makes an element with properties and children. Children that are nothing are left out.
export function el(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'class') {
      e.className = value;
    } else if (name.startsWith('on') || name in e) {
      e[name] = value;
    } else {
      e.setAttribute(name, value);
    }
  }
  e.append(...children.filter(c => c !== null && c !== undefined && c !== ''));
  return e;
}

// toggle sets a pressed button.
export function press(button, pressed) {
  button.setAttribute('aria-pressed', String(pressed));
}

export const pressed = button => button.getAttribute('aria-pressed') === 'true';

let toastTimer = 0;

// toast tells something for a while.
export function toast(text, bad = false) {
  const t = byId('toast');
  t.textContent = text;
  t.classList.toggle('bad', bad);
  t.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { t.hidden = true; }, bad ? 9000 : 3000);
}
