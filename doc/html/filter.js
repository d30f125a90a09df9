/* Shows those names that have each word of the search in them. Without a script all are there. */
'use strict';

const field = document.getElementById('seek');
const rows = Array.from(document.querySelectorAll('.names > li'),
    row => ({ row, text: row.textContent.toLowerCase() }));

function show()
{
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let some = false;
    for (const { row, text } of rows) {
        const wanted = words.every(word => text.includes(word));
        row.hidden = !wanted;
        some = some || wanted;
    }
    for (const section of document.querySelectorAll('section'))
        section.hidden = !section.querySelector('li:not([hidden])');
    document.getElementById('none').hidden = some;
}

/* «names.html?q=timeout» comes with its search. */
field.value = new URLSearchParams(location.search).get('q') || '';
field.addEventListener('input', show);
show();
