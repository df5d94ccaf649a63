// Who sees e-mail addresses: nobody, while the button is on. Every text of the page passes through here.
const KEY = 'rota.privacy';
const ADDRESS = /([^\s@<>"'()]+)@([^\s@<>"'(),;]+\.[^\s@<>"'(),;]+)/g;

export const privacy = {
  get on() {
    return localStorage.getItem(KEY) === 'on';
  },
  set on(on) {
    hidden = on;
    localStorage.setItem(KEY, on ? 'on' : 'off');
  },
};

let hidden = globalThis.localStorage ? privacy.on : false;

/** A text as it may be seen. */
export const shown = text => (hidden ? mask(text) : text);

/** The same without its addresses. */
export const mask = text => text.replace(ADDRESS, (_, name, host) => `${name[0]}•••@${host[0]}•••`);
