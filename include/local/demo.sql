-- The demo's rows, into an empty table only. If they are there already, point them at the echo server's new address.
with moved as (
    update millrace.job
    set payload = jsonb_set(payload, '{url}',
                            to_jsonb(regexp_replace(payload ->> 'url', '^http://[^/]+', %(url)s::text)))
    where owner = %(owner)s::text and payload ->> 'url' not like %(url)s::text || '/%%'
)
insert into millrace.job (name, owner, kind, payload, cron, every)
select demo.name, %(owner)s::text, demo.kind, demo.payload, demo.cron, demo.every::interval
from (values
    ('demo: ping every 5 s', 'ping',
     jsonb_build_object('url', %(url)s::text || '/ping', 'expect_status', 200), null, '5 seconds'),
    ('demo: http every minute', 'http',
     jsonb_build_object('url', %(url)s::text || '/report', 'method', 'POST',
                        'json', jsonb_build_object('hello', 'world')),
     '* * * * *', null),
    ('demo: webhook every 10 s, and every third answer is 503', 'webhook',
     jsonb_build_object('url', %(url)s::text || '/flaky', 'body', jsonb_build_object('event', 'demo')),
     null, '10 seconds'),
    ('demo: ping by hand', 'ping',
     jsonb_build_object('url', %(url)s::text || '/by-hand'), null, null)
) as demo (name, kind, payload, cron, every)
where not exists (select from millrace.job);
