// The reference writes styles as if no policy forbade it. Here its style elements get the page's nonce, and what it writes
// as style attributes is set as properties instead, which every policy allows.
{
    const nonce = document.querySelector("meta[property=csp-nonce]").content;
    const createElement = Document.prototype.createElement;
    Document.prototype.createElement = function (name, options) {
        const element = createElement.call(this, name, options);
        if (element instanceof HTMLStyleElement) element.nonce = nonce;
        return element;
    };
    const setAttribute = Element.prototype.setAttribute;
    Element.prototype.setAttribute = function (name, value) {
        if (name === "style" && this.style) this.style.cssText = value;
        else setAttribute.call(this, name, value);
    };
    const innerHTML = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");
    Object.defineProperty(Element.prototype, "innerHTML", {
        ...innerHTML,
        set(html) {
            const text = String(html ?? "");
            innerHTML.set.call(this, text.replace(/(<code\b[^>]*?) style="/g, '$1 data-style="'));
            if (!text.includes("<code")) return;
            for (const code of this.querySelectorAll("code[data-style]")) code.style.cssText = code.dataset.style;
        },
    });
}
