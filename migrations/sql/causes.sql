-- The cause of a dead letter. Operators count and requeue messages of the same cause together.

-- The pattern that replies of one kind share: the status at the start, and words without a digit, an address or a host name.
-- The status is that of SMTP after its command, of HTTP with Twilio's code, or of SMPP in hexadecimal. Quoted text and
-- text in angle brackets differ between messages. So do long words without a vowel, which Postfix uses as queue ids.
-- From a JSON object, the pattern keeps the values of "code", "error" and "type" that are identifiers. An identifier
-- starts with a letter, because a value of digits may be a phone number.
create function signpost_error_pattern(error text) returns text
language sql immutable parallel safe
return (
    select status || left(
               case when rest like ' {%' then coalesce((
                   select ' ' || string_agg(code[1], ' ')
                     from regexp_matches(
                              rest, '"(?:code|error|type)"\s*:\s*"([[:alpha:]][[:alnum:]_.-]{0,39})"', 'g') as code), '')
               else '' end
               || regexp_replace(
                      rest,
                      '\S*(?:"[^"]*"|<[^>]*>|[@0-9]|[[:alnum:]][.][[:alpha:]])\S*|\m[B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{7,}\M',
                      '…', 'g'), 200)
      from (select status, substr(error, length(status) + 1) as rest
              from (select coalesce(substring(
                               error from '^(?:(?:[[:alpha:]]+:? )?[0-9]{3}\M(?:[ -][245][.][0-9]{1,3}[.][0-9]{1,3})?'
                                          '|HTTP [0-9]{3} [0-9]{5}:'
                                          '|[[:alpha:]_]+: [[:alpha:]_ ]+\(0x[0-9A-F]{8}\))'), '') as status) as found)
           as parts);

-- The id of a cause. PostgreSQL keeps the hash function of hash partitions stable. A server's policy may disable md5.
create function signpost_cause(dead_reason text, provider text, error text) returns text
language sql immutable parallel safe
return right(lpad(to_hex(hashtextextended(
    coalesce(dead_reason, '') || chr(31) || coalesce(provider, '') || chr(31)
    || coalesce(signpost_error_pattern(error), ''), 0)), 16, '0'), 12);

-- A masked address for operators: `a…@example.org`, `+23…78`.
create function signpost_masked(address text) returns text
language sql immutable strict parallel safe
return case when position('@' in address) > 0
            then left(address, 1) || '…@' || split_part(address, '@', -1)
            else left(address, 3) || '…' || right(address, 2) end;
