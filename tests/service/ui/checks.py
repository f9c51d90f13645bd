"""What is checked of any page: contrast, names of fields, room; as JavaScript that the browser runs."""

#: Texts whose contrast with what is behind them is less than WCAG's AA asks for, each with its ratio.
FAINT = """
(() => {
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = (color) => color.slice(0, 3).map((c) => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const read = (color) => { const n = color.match(/[0-9.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(read(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !element.checkVisibility() || element.closest(":disabled, .old")) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const color = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const back = behind(element), front = over(read(color), back);
    const [dark, light] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < least) found.push(`${ratio.toFixed(2)} ${walk.currentNode.data.trim().slice(0, 30)}`);
  }
  return found;
})()
"""

#: Fields and buttons that nobody who does not see them could tell apart; pictures without a text.
NAMELESS = """
[...document.querySelectorAll("input, select, textarea, button, a[href], progress, img, [role=img]")].filter((e) =>
  e.checkVisibility() && !(e.labels?.length || e.ariaLabel || e.hasAttribute("alt") || e.innerText?.trim())
).map((e) => e.outerHTML.slice(0, 80))
"""

#: How many pixels the page is wider than the window.
TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"

#: Every address that the page asked for, that is of another origin.
ELSEWHERE = """
performance.getEntries().filter((e) => ["resource", "navigation"].includes(e.entryType)).map((e) => e.name)
  .filter((name) => ![location.origin, "blob:" + location.origin, "about:blank"].some((own) => name.startsWith(own)))
"""

#: Whether it is seen that the element with the focus has it.
FOCUS_SEEN = """
[getComputedStyle(document.activeElement)].every((s) => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2)
"""
