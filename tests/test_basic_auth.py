import pytest
import worlds, factories as f
from windsock import spec, operations
from clients import *
@pytest.mark.parametrize("dress", [f.filled, worlds.nulls])
def test_smoke(client, session, dress):
    w = worlds.world(session, range(3), dress)
    for o in spec.operations().values():
        if o.method != "get": continue
        u = w.url(o)
        r = client.get(u)
        print(o.id, u, r.status_code, r.get_data(as_text=True)[:200] if r.status_code not in (200,) else '')
