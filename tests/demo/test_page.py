"""The page in a real browser: upload, reconstruct, play, speak, a bad file; wide and narrow; nothing from elsewhere."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tadicodec import Codec, Speaker

pytest.importorskip("gradio")
webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("no chromium and chromedriver on the PATH", allow_module_level=True)

SAMPLE = Path(__file__).parents[2] / "samples" / "austen_2.flac"
WAIT = 120  # seconds; the machine may be busy
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--autoplay-policy=no-user-gesture-required", "--mute-audio", "--disable-dev-shm-usage"),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    import uvicorn

    from tadicodec.demo.site import create_demo

    codec = Codec.from_pretrained()
    engines = {name: Speaker.from_pretrained(engine=name, codec=codec) for name in ("masked", "ar")}
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_demo(codec, engines), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = server.force_exit = True
    thread.join(20)


class Browser:
    """What a person does with the page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def wait(self, condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + WAIT
        while not (found := condition()):
            assert time.monotonic() < end, "the page did not do it"
            time.sleep(0.1)
        return found

    def tab(self, name: str) -> None:
        next(button for button in self.all("button[role=tab]") if name in button.text).click()

    def upload(self, component: str, path: Path) -> None:
        """Drop a file where a recording goes."""
        clear = [one for one in self.all(f"#{component} button[aria-label=Clear]") if one.is_displayed()]
        if clear:
            clear[0].click()
        button = self.wait(lambda: self.all(f"#{component} button[aria-label='Upload file']"))[0]
        self.driver.execute_script("arguments[0].click()", button)
        self.wait(lambda: self.all(f"#{component} input[type=file]"))[0].send_keys(str(path))

    def press(self, name: str) -> None:
        self.driver.execute_script("document.querySelector(arguments[0]).click()", f"#{name}")

    def text(self, selector: str) -> str:
        return " ".join(one.text for one in self.all(selector))

    def script(self, code: str) -> Any:
        return self.driver.execute_script(f"return {code}")


@pytest.fixture(scope="module")
def browser(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(WAIT)
    driver.set_window_size(1280, 1200)
    driver.get(url)
    found = Browser(driver)
    found.wait(lambda: found.all("#hear"))
    yield found
    driver.quit()


def duration(browser: Browser, component: str) -> float:
    """Seconds of the sound that an audio component holds, once the browser has decoded it."""

    def seconds() -> float:
        minutes = [one.text for one in browser.all(f"#{component} time") if ":" in one.text]
        return max((60 * int(m) + int(s) for m, s in (one.split(":") for one in minutes)), default=0)

    return browser.wait(seconds)


def test_reconstruct_play_and_look(browser: Browser) -> None:
    browser.upload("recording", SAMPLE)
    length = round(soundfile.info(SAMPLE).duration)
    assert abs(duration(browser, "recording") - length) <= 1
    browser.press("hear")
    browser.wait(lambda: browser.all("#picture img"))
    assert abs(duration(browser, "decoded") - length) <= 1 and abs(duration(browser, "original") - length) <= 1
    assert browser.script("document.querySelector('#picture img').naturalWidth") > 800
    summary = browser.text("#summary")
    assert "tokens of 14 bits" in summary and "text, compressed" in summary and "Words:" in summary
    play = browser.wait(lambda: [one for one in browser.all("#decoded button[aria-label=Play]") if one.is_displayed()])[
        0
    ]
    play.click()
    browser.wait(lambda: browser.all("#decoded button[aria-label=Pause]"))


@pytest.mark.parametrize("engine", ["masked", "ar"])
def test_speak(browser: Browser, engine: str) -> None:
    browser.tab("Speak")
    browser.upload("voice", SAMPLE)
    duration(browser, "voice")
    radio = browser.wait(lambda: browser.all(f"#engine input[value={engine}]"))[0]
    browser.driver.execute_script("arguments[0].click()", radio)
    before = browser.script("document.querySelector('#live audio')?.src ?? ''")
    browser.press("speak")
    browser.wait(lambda: browser.script("document.querySelector('#live audio')?.src ?? ''") not in ("", before))
    browser.wait(lambda: browser.script("document.querySelector('#live audio').currentTime") > 0)  # it plays by itself
    browser.wait(lambda: "first sound" in browser.text("#spoken-summary"))
    assert duration(browser, "spoken") >= 2


@pytest.mark.parametrize("kind", ["text", "nothing"])
def test_bad_files_are_one_clear_line(browser: Browser, kind: str, tmp_path: Path) -> None:
    browser.driver.refresh()
    browser.wait(lambda: browser.all("#hear"))
    if kind == "text":
        (tmp_path / "bad.wav").write_text("this is no sound\n" * 50)
        browser.upload("recording", tmp_path / "bad.wav")
        browser.wait(lambda: browser.all("#recording button[aria-label=Clear]"))
        time.sleep(1)
    browser.press("hear")
    message = {"text": "not audio", "nothing": "record something first"}[kind]
    browser.wait(lambda: message in browser.script("document.body.innerText"))
    assert "Traceback" not in browser.script("document.body.innerText")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(browser: Browser, width: int, tmp_path: Path) -> None:
    browser.driver.refresh()
    browser.wait(lambda: browser.all("#hear"))
    browser.driver.set_window_size(width, 1600)
    for tab in ("Hear", "Speak"):
        browser.tab(tab)
        time.sleep(0.5)
        assert browser.script("document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.driver.save_screenshot(str(tmp_path / "page.png"))
        picture = pixels(tmp_path / "page.png")
        assert picture.std() > 0.02  # something is drawn
    browser.driver.set_window_size(1280, 1200)


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)[..., :3]


def test_nothing_comes_from_elsewhere(browser: Browser, url: str) -> None:
    messages = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert any("/live/" in address for address in sent)
    foreign = [one for one in sent if not one.startswith((url, "data:", "blob:", "chrome:", "about:"))]
    assert not foreign
