"""Makes chat.json: what transformers writes by the templates in chat/, which are like those of well-known models.

    python -m venv .venv && .venv/bin/pip install transformers jinja2
    .venv/bin/python test/reference/tokenizers/make_chat_goldens.py

Made with transformers 5.24.0.
"""

import datetime
import json
import pathlib

from transformers.utils import chat_template_utils

here = pathlib.Path(__file__).parent


class Today(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 12, 0, 0)


chat_template_utils.datetime = Today if not hasattr(chat_template_utils.datetime, "datetime") else type("m", (), {"datetime": Today})

user = lambda text: {"role": "user", "content": text}
assistant = lambda text: {"role": "assistant", "content": text}
system = {"role": "system", "content": " Be brief. "}
weather = {"type": "function", "function": {"name": "weather", "description": "How it is <there> & then", "parameters": {"type": "object", "properties": {"town": {"type": "string", "description": "Größe 😀"}, "days": {"type": "integer"}}, "required": ["town"]}}}
call = {"role": "assistant", "content": None, "tool_calls": [{"id": "abc", "type": "function", "function": {"name": "weather", "arguments": {"town": "Wien", "days": 2.5, "dry": True}}}]}
conversations = [
    ([user("Hello")], {}),
    ([system, user("  Hello\n")], {"add_generation_prompt": True}),
    ([user("a"), assistant("b "), user("c\td"), assistant("<think>\nhm\n</think>\n\nd")], {}),
    ([system, user("a"), assistant("<think>x</think>\n\nb"), user("c 😀 é \"quoted\" <b> & \\")], {"add_generation_prompt": True, "enable_thinking": False}),
    ([user("Rain?")], {"tools": [weather], "add_generation_prompt": True}),
    ([user("Rain?"), call, {"role": "tool", "content": {"rain": False, "mm": [0, 1.5]}, "tool_call_id": "abc"}], {"tools": [weather], "add_generation_prompt": True}),
    ([user("Rain?"), call, {"role": "tool", "content": "dry", "tool_call_id": "abc"}, assistant("No.")], {"tools": [weather, weather]}),
    ([user("a"), user("b")], {}),
    ([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " what? "}]}], {}),
    ([{"role": "narrator", "content": "x"}], {}),
    ([], {}),
]
cases = []
for path in sorted((here / "chat").glob("*.jinja")):
    template = path.read_text(encoding="utf-8")
    for i, (messages, options) in enumerate(conversations):
        options = dict(options)
        try:
            rendered, _ = chat_template_utils.render_jinja_template(
                [messages], tools=options.pop("tools", None), chat_template=template, bos_token="<s>", eos_token="</s>", **options
            )
            result = {"text": rendered[0]}
        except Exception as error:  # what the template or Jinja refuses
            result = {"error": str(error)}
        cases.append({"template": path.stem, "conversation": i, **result})
conversations = [{"messages": messages, "options": options} for messages, options in conversations]
(here / "chat.json").write_text(json.dumps({"conversations": conversations, "cases": cases}, ensure_ascii=True, indent=1) + "\n")
print(sum("text" in case for case in cases), "texts", sum("error" in case for case in cases), "errors")
