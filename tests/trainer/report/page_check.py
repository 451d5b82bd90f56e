"""What headless Chromium makes of report.html, at the widths of a desk and a telephone, light and dark, and on paper.

    page_check.py OUTPUT page.html…      or, before the pages, -- PROGRAM: it is run with OUTPUT as its argument and prints their paths

No page may say anything on the console, ask for anything outside, or scroll sideways; text on the axes of charts must be of readable size.
Screenshots go to OUTPUT. Exit code 77 where there is no Chromium.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SMALLEST_TEXT = 11  # pixels
WIDTHS = (390, 1280)
TALLEST = 8000  # of a screenshot
# What must hold of a page, as an expression that gives what is wrong.
LOOK = """(() => {
  document.querySelectorAll('details').forEach(d => d.open = true);
  const wrong = [], page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) wrong.push(`is ${page.scrollWidth} pixels wide`);
  for (const e of document.querySelectorAll('.wide')) {
    if (e.getBoundingClientRect().right > page.clientWidth) wrong.push('a table leaves the page');
  }
  for (const e of document.querySelectorAll('body *')) {
    if (e.childElementCount == 0 && e.textContent.trim() && !e.closest('style, title') && parseFloat(getComputedStyle(e).fontSize) < %d)
      wrong.push(`${e.tagName} ${e.className}: text of ${getComputedStyle(e).fontSize}`);
  }
  for (const e of document.querySelectorAll('td, th')) {
    const text = document.createRange();
    text.selectNodeContents(e);
    const lines = new Set([...text.getClientRects()].map(r => Math.round(r.top))).size;
    if (lines > 2 && lines > e.textContent.length / 4) wrong.push(`a cell of ${e.textContent.length} letters has ${lines} lines: ${e.textContent.slice(0, 30)}`);
  }
  if (document.querySelectorAll('script, img, link, a').length) wrong.push('has scripts, pictures or links');
  return wrong;
})()""" % SMALLEST_TEXT


class Browser:
    """Chromium's DevTools protocol over its pipe: JSON between zero bytes, at its file descriptors 3 and 4."""

    def __init__(self, program, profile):
        to_browser, self.out = os.pipe()
        self.inp, from_browser = os.pipe()

        def give_pipes():
            a, b = os.dup(to_browser), os.dup(from_browser)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
             "--user-data-dir=" + profile],
            preexec_fn=give_pipes, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.last, self.events = b"", 0, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def read(self):
        while b"\0" not in self.buffer:
            data = os.read(self.inp, 1 << 20)
            if not data:
                sys.exit("page_check.py: the browser has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.last:
                if "error" in answer:
                    sys.exit(f"page_check.py: {method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, path):
        self.events.clear()
        if problem := self.call("Page.navigate", url="file://" + os.path.abspath(path)).get("errorText"):
            sys.exit(f"page_check.py: {path}: {problem}")
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.read())

    def said(self):
        """Everything on the console, and requests for anything but the page."""
        found = []
        for event in self.events:
            method, values = event.get("method"), event.get("params", {})
            if method == "Log.entryAdded":
                found.append(values["entry"]["text"])
            elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                found.append(json.dumps(values)[:300])
            elif method == "Network.requestWillBeSent" and values.get("type") != "Document":
                found.append("asks for " + values["request"]["url"][:200])
        return found

    def show(self, width, scheme="light", medium=""):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", media=medium, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def shoot(self, path, width):
        height = min(TALLEST, self.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        picture = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture))

    def close(self):
        self.call("Browser.close")
        self.process.wait(30)


def look_at(browser, page, output):
    name = os.path.splitext(os.path.basename(page))[0]
    wrong = []
    browser.show(WIDTHS[0])
    browser.open(page)
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            browser.show(width, scheme)
            browser.shoot(os.path.join(output, f"{name}-{width}-{scheme}.png"), width)
        wrong += [f"at {width} pixels it {what}" for what in browser.evaluate(LOOK)]
    browser.show(WIDTHS[1], medium="print")
    wrong += browser.said()
    with open(os.path.join(output, name + ".pdf"), "wb") as file:
        file.write(base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"]))
    return [f"{page}: {what}" for what in dict.fromkeys(wrong)]


def main():
    output, pages = sys.argv[1], sys.argv[2:]
    os.makedirs(output, exist_ok=True)
    if pages and pages[0] == "--":
        pages = subprocess.run([pages[1], output], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print("page_check.py: skipped, there is no Chromium (launcher/setup/install_deps.sh page)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        wrong = [what for page in pages for what in look_at(browser, page, output)]
        browser.close()
    print("\n".join(wrong) or f"{len(pages)} pages are right; screenshots are in {output}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
