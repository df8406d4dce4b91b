import base64
import json

import pytest

from amago.core.errors import AmagoError
from amago.dashboard.app import STATIC
from amago.dashboard.modules import collect, import_map

FILES = {
    "js/main.js": 'import { a } from "./a.js";\nimport {\n  b,\n} from "./views/b.js";\nrun(a, b);',
    "js/a.js": 'export { c } from "./c.js";\nexport const a = \'import { x } from "./no.js";\';',
    "js/c.js": "// import(\"./no.js\")\nimport './a.js';\nexport const c = 1;",
    "js/views/b.js": 'import * as a from "../a.js";\nimport P from "../../vendor/p.js";',
    "vendor/p.js": "export default class {}",
}


def test_every_module_is_found_once_and_its_imports_renamed():
    found = collect("js/main.js", FILES.__getitem__)
    assert set(found) == set(FILES)
    assert 'import {\n  b,\n} from "amago/js/views/b.js";' in found["js/main.js"]
    assert found["js/views/b.js"].splitlines() == [
        'import * as a from "amago/js/a.js";',
        'import P from "amago/vendor/p.js";',
    ]
    assert 'export { c } from "amago/js/c.js";' in found["js/a.js"]
    assert 'import "amago/js/a.js";' in found["js/c.js"]


def test_the_import_map_holds_the_sources():
    imports = json.loads(import_map({"a.js": "export const x = 'ü</script>';"}))["imports"]
    url = imports["amago/a.js"]
    assert "<" not in url
    assert base64.b64decode(url.partition(",")[2]).decode() == "export const x = 'ü</script>';"


def test_an_import_from_outside_is_an_error():
    with pytest.raises(AmagoError, match="none of the page's files"):
        collect("main.js", lambda path: 'import "../../secret.js";')


def test_no_import_of_the_page_is_left_relative():
    found = collect("js/main.js", lambda path: (STATIC / path).read_text(encoding="utf-8"))
    for path, source in found.items():
        for line in source.splitlines():
            is_import = line.startswith(("import ", "export ", "} from"))
            assert not (is_import and ('from "./' in line or 'from "../' in line)), path
            assert "await import(" not in line, path
