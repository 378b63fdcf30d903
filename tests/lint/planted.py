"""Planted violations: what each lint must see, and what it must let pass."""

import tempfile
from pathlib import Path

import tidy

_LONG = "void f(void)\n{\n" + "    g();\n" * 71 + "}\n"
_FITS = "void f(void)\n{\n" + "    g();\n" * 70 + "}\n"
_ALLOWED = "tests/lint/allowed.txt"

# (lint, {path: text}, piece of the one finding; None: no finding)
CASES = (
    ("floors", {"consumer/core/a.c": "#include <stdio.h>\n"}, "<stdio.h>: this floor is pure"),
    ("floors", {"schema/money.c": "#include <stdlib.h>\n"}, "<stdlib.h>: this floor is pure"),
    ("floors", {"schema/uuid.h": "# include <time.h>\n"}, "<time.h>: this floor is pure"),
    ("floors", {"schema/money.c": "#include <string.h>\n"}, None),
    ("floors", {"schema/money.c": "/*\n#include <stdio.h>\n*/\n"}, None),
    ("floors", {"consumer/core/a.c": '#include "base/log.h"\n', "base/log.h": ""},
     "that header is not"),
    ("floors", {"consumer/core/a.c": '#include "schema/digest.h"\n', "schema/digest.h": ""},
     "that header is not"),
    ("floors", {"consumer/core/a.c": '#include "base/must.h"\n', "base/must.h": ""}, None),
    ("floors", {"base/a.c": '#include "schema/b.h"\n', "schema/b.h": ""}, "base/ may include"),
    ("floors", {"schema/a.c": '#include "consumer/b.h"\n', "consumer/b.h": ""},
     "schema/ may include"),
    ("floors", {"consumer/core/a.c": '#include "consumer/b.h"\n', "consumer/b.h": ""},
     "consumer/core/ may include"),
    ("floors", {"producer/postonce_send_a.c": '#include "consumer/b.h"\n', "consumer/b.h": ""},
     "producer/postonce_send may include"),
    ("floors", {"producer/postonce_a.c": '#include "base/b.h"\n', "base/b.h": ""},
     "producer/ may include"),
    ("floors", {"consumer/a.c": '#include "producer/b.h"\n', "producer/b.h": ""},
     "consumer/ may include"),
    ("floors", {"consumer/a.c": '#include "tests/b.h"\n', "tests/b.h": ""},
     "consumer/ may include"),
    ("floors", {"base/a.c": '#include "b.h"\n', "base/b.h": ""}, "no such header"),
    ("floors", {"schema/result.c": "#include <jansson.h>\n"}, "only schema/command_json.c"),
    ("floors", {"consumer/store_postgres.c": "#include <libpq-fe.h>\n"}, "only consumer/pg"),
    ("floors", {"consumer/worker.c": "#include <librdkafka/rdkafka.h>\n"}, "only consumer/*_"),
    ("floors", {"producer/postonce.h": "#include <librdkafka/rdkafka.h>\n"}, "only consumer/"),
    ("floors", {"consumer/reply_kafka.c": "#include <librdkafka/rdkafka.h>\n"}, None),
    ("floors", {"consumer/main.c": "#include <microhttpd.h>\n"}, "only consumer/admin.c"),
    ("floors", {"schema/result.c": "#include <openssl/sha.h>\n"}, "only schema/digest.c"),
    ("floors", {"consumer/poster.c": '#include "consumer/pg.h"\n', "consumer/pg.h": ""},
     "ask its port"),
    ("floors", {"consumer/verb_a.c": '#include "consumer/pg.h"\n', "consumer/pg.h": ""}, None),
    ("floors", {"base/a.h": '#include "base/b.h"\n', "base/b.h": '#include "base/c.h"\n',
                "base/c.h": '#include "base/a.h"\n'}, "circle"),

    ("calls", {"base/a.c": "int f(void)\n{\n    return atoi(text);\n}\n"}, "base/parse.h"),
    ("calls", {"tests/unit/a.c": "strcpy(a, b);\n"}, "base/text_buffer.h"),
    ("calls", {"base/a.c": "x = strtoul (a, 0, 10);\n"}, "base/parse.h"),
    ("calls", {"base/a.c": "signal(SIGTERM, f);\n"}, "base/stop.h"),
    ("calls", {"base/a.c": "/* system(x) */ // popen(y)\nputs(\"gets(z)\");\n"}, None),
    ("calls", {"base/a.c": "my_system(x); at->signal(y); atoi_like(z);\n"}, None),
    ("calls", {"base/a.c": "puts(\"\\\"\"); system(x);\n"}, "posix_spawn"),
    ("calls", {"schema/a.c": "double x;\n"}, "integers"),
    ("calls", {"tests/unit/a.c": "double x; free(malloc(1));\n"}, None),
    ("calls", {"consumer/a.c": "x = malloc(1);\n"}, "memory comes from"),
    ("calls", {"consumer/a.c": "x = malloc(1);\n",
               _ALLOWED: "consumer/a.c heap owns the xs\n"}, None),
    ("calls", {"consumer/a.c": "", _ALLOWED: "consumer/a.c heap owns the xs\n"},
     "does not use heap any more"),
    ("calls", {"consumer/a.c": "x = malloc(1);\n", _ALLOWED: "consumer/a.c heap\n"},
     "has no reason"),
    ("calls", {_ALLOWED: "consumer/core/a.c heap it is needed here\n"}, "is pure"),

    ("sizes", {"base/a.c": _LONG}, "f: 71 lines"),
    ("sizes", {"base/a.c": _FITS}, None),
    ("sizes", {"base/a.c": "int x;\n" * 701}, "701 lines"),
    ("sizes", {"base/a.c": "int x;\n" * 700}, None),
    ("sizes", {"base/a.c": "/*" + "é" * 87 + "*/\n"}, "91 columns"),
    ("sizes", {"base/a.c": "/*" + "é" * 86 + "*/\n"}, None),

    ("words", {"README.md": "see /wo" + "rk/x\n"}, "a path of one machine"),
    ("words", {"demo": "cd /ho" + "me/me\n"}, "a path of one machine"),
    ("words", {"base/a.c": "/* TO" + "DO: all */\n"}, "do it now"),
    ("words", {"base/a.c": "<<<<" + "<<< ours\n"}, "a merge"),
    ("words", {"README.md": "the network and the todos, homework/x\n"}, None),
)

# clang-tidy: (body of a file, the check that must see it)
_TIDY = (
    ("int a(const char *text)\n{\n    return atoi(text);\n}\n", "cert-err34-c"),
    ("int b(void)\n{\n    int *x = 0;\n    return *x;\n}\n", "clang-analyzer-core.NullDeref"),
    ("int c(int a, int b, int c, int d, int e, int f);\n"
     "int c(int a, int b, int c, int d, int e, int f)\n"
     "{\n    return a + b + c + d + e + f;\n}\n", "readability-function-size"),
)


def unseen(lint, look):
    """What `look` did not do as it must with the cases of this lint."""
    if lint == "tidy":
        return _unseen_by_tidy()
    found = []
    for name, files, want in CASES:
        if name != lint:
            continue
        got = look(files)
        right = not got if want is None else len(got) == 1 and want in got[0]
        if not right:
            found.append(f"{lint}: planted {files}: expected {want!r}, got {got}")
    return found


def _unseen_by_tidy():
    tidy.PASSED.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tidy.PASSED.parent) as folder:
        path = Path(folder) / "planted.c"
        path.write_text("#include <stdlib.h>\n" + "".join(body for body, _ in _TIDY))
        (Path(folder) / "compile_flags.txt").write_text("-std=c17\n")
        got = "\n".join(tidy.run(path, folder))
    return [f"tidy: planted, and not seen: {check}" for _, check in _TIDY if check not in got]
