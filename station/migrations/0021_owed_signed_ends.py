"""A session that was closed without the signed end of its meter owes it until it is told."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0020_signed_sessions'),
    ]

    operations = [
        migrations.AddField(
            model_name='chargingsession',
            name='owes_signed_end',
            field=models.BooleanField(default=False),
        ),
        migrations.AddIndex(
            model_name='chargingsession',
            index=models.Index(
                condition=models.Q(('owes_signed_end', True)), fields=['signed_begin'], name='owing_a_signed_end'
            ),
        ),
    ]
