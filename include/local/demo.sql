-- The demo's rows, into an empty table only. If they are there already, point them at the server's new address.
with moved_jobs as (
    update millrace.job
    set payload = jsonb_set(payload, '{url}',
                            to_jsonb(regexp_replace(payload ->> 'url', '^http://[^/]+', %(url)s::text)))
    where owner = %(owner)s::text and payload ->> 'url' not like %(url)s::text || '/%%'
), moved_connectors as (
    update millrace.connector
    set config = jsonb_set(config, '{base_url}', to_jsonb(%(url)s::text))
    where owner = %(owner)s::text and config ->> 'base_url' <> %(url)s::text
), moved_workflows as (
    update millrace.workflow w
    set payload = jsonb_set(w.payload, '{url}',
                            to_jsonb(regexp_replace(w.payload ->> 'url', '^http://[^/]+', %(url)s::text)))
    from millrace.connector c
    where c.id = w.connector_id and c.owner = %(owner)s::text and w.payload ->> 'url' not like %(url)s::text || '/%%'
), news as (
    insert into millrace.connector (name, owner, kind, every, config)
    select 'demo: news', %(owner)s::text, 'rest', interval '5 seconds',
           jsonb_build_object('base_url', %(url)s::text, 'path', '/news', 'data_selector', 'items',
                              'primary_key', 'id', 'paginator', 'single_page',
                              'incremental', jsonb_build_object('cursor_path', 'id', 'start_param', 'since',
                                                                'initial_value', 0))
    where not exists (select from millrace.job) and not exists (select from millrace.connector)
    returning id
), workflows as (
    insert into millrace.workflow (name, owner, connector_id, every, filter, kind, payload)
    select demo.name, demo.owner, news.id, demo.every::interval, demo.filter, 'webhook', demo.payload
    from news, (values
        ('demo: all news', 'ann@example.com', '10 seconds', null,
         jsonb_build_object('url', %(url)s::text || '/inbox/ann')),
        ('demo: the weather', 'bob@example.com', '30 seconds', '$.topic == "weather"',
         jsonb_build_object('url', %(url)s::text || '/inbox/bob',
                            'body', jsonb_build_object('text', '{{ record.payload.title }}',
                                                       'for', '{{ owner }}')))
    ) as demo (name, owner, every, filter, payload)
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
