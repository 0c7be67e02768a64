/* The search runs in a Worker. A page that is read from the disk (file://) cannot start one. Here a hidden frame takes
   the place of the Worker: it loads the Worker's script, and messages go in both directions. */
if (location.protocol === "file:") {
  const load = (frame, url) =>
    new Promise((resolve, reject) => {
      const script = frame.contentDocument.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = reject;
      frame.contentDocument.body.appendChild(script);
    });

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const script = new URL(url, location.href);
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inner = this.frame.contentWindow;
      inner.document.open();
      inner.document.write("<!doctype html><body></body>");
      inner.document.close();
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inner.importScripts = (...urls) =>
        urls.reduce((done, other) => done.then(() => load(this.frame, new URL(other, script))), Promise.resolve());
      this.ready = load(this.frame, script);
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
